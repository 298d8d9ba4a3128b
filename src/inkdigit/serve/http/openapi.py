"""What several routes describe alike in `/openapi.json`; what one route alone has is in its file. Nothing is checked.

In: nothing. Out: models for FastAPI's documentation, and pieces of OpenAPI where a model cannot say it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, Field

SERVICE: list[str | Enum] = ["Service"]
KSERVE: list[str | Enum] = ["KServe v2"]

# A 7 of 28×28 pixels, so that the example answers.
SEVEN = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAU0lEQVR42n3MsQ3CQBQE0cdyEg7dAS7F5TmkJJfiEs6ZIfkk6EKS1YxG2ltxBv7NxuXR"
    "00zavV5UPfuv1iKs4rOL7RDrQl3V4z1eQvShbdBEzHwBx60UFAvsBNcAAAAASUVORK5CYII="
)


class Refusal(BaseModel):
    """An error."""

    error: str = Field(description="What is wrong, what was expected and received, and the next step.")
    kind: str = Field(description="Its name, which stays the same from release to release.", examples=["UsageError"])


class Entry(BaseModel):
    """The answer to one picture, or why there is none."""

    file: str | None = Field(description="The name that the sender gave the picture.")
    label: str | None = Field(None, description="The class; null where the model does not answer.", examples=["7"])
    confidence: float | None = Field(None, description="The probability of the most probable class.")
    score: float | None = Field(None, description="How much the picture looks like one of any class; higher is more.")
    reason: str | None = Field(None, description="Why the model does not answer.", examples=["not a digit"])
    probs: list[float] | None = Field(None, description="One a class, in the order of `classes` in /models.")
    model: str | None = Field(None, description="Which model answered.")
    error: str | None = Field(None, description="Why this picture could not be read.")
    kind: str | None = Field(None, description="The name of the error.")


MODEL: dict[str, Any] = {
    "parameters": [
        {
            "name": "model",
            "in": "query",
            "required": False,
            "description": "One of those in /models; else the default.",
            "schema": {"type": "string"},
        }
    ]
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/png": {"schema": {"type": "string", "contentMediaType": "image/png"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "contentMediaType": "application/octet-stream"},
                        }
                    },
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["images"],
                    "additionalProperties": False,
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "contentEncoding": "base64"},
                        }
                    },
                },
                "example": {"images": [SEVEN]},
            },
        },
    }
}
_REFUSED = {
    400: "The request makes no sense, or has no picture.",
    401: "The service asks for a token.",
    404: "There is no such model.",
    408: "The request, or its answer, took too long.",
    413: "More bytes, pictures or pixels than the service takes.",
    415: "The bytes are no picture of a known format.",
    422: "The picture is broken.",
    503: "The service has more to do than it can; come again after `Retry-After` seconds.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text} for status, text in _REFUSED.items()
}
