"""The parts of `/openapi.json` that several routes share. They describe requests and answers, and check nothing.

In: nothing. Out: models for FastAPI's documentation, and pieces of OpenAPI where a model is not enough.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, Field

SERVICE: list[str | Enum] = ["Service"]
KSERVE: list[str | Enum] = ["KServe v2"]

# A 7 of 28×28 pixels, so that the example can be tried.
SEVEN = (
    "iVBORw0KGgoAAAANSUhEUgAAABwAAAAcAQAAAABaduI5AAAAU0lEQVR42n3MsQ3CQBQE0cdyEg7dAS7F5TmkJJfiEs6ZIfkk6EKS1YxG2ltxBv7NxuXR"
    "00zavV5UPfuv1iKs4rOL7RDrQl3V4z1eQvShbdBEzHwBx60UFAvsBNcAAAAASUVORK5CYII="
)


class Refusal(BaseModel):
    """An error."""

    error: str = Field(description="What is wrong, what was expected and received, and the next step.")
    kind: str = Field(description="The name of the error, the same in every release.", examples=["UsageError"])


class Entry(BaseModel):
    """The answer to one image, or its error."""

    file: str | None = Field(description="The name of the file in the request.")
    label: str | None = Field(None, description="The class; null if the image is rejected.", examples=["7"])
    confidence: float | None = Field(None, description="The probability of the most probable class.")
    score: float | None = Field(None, description="How much the image looks like one of the classes; higher is more.")
    reason: str | None = Field(None, description="Why the image is rejected.", examples=["not a digit"])
    probs: list[float] | None = Field(None, description="One per class, in the order of `classes` in /models.")
    model: str | None = Field(None, description="The model that answered.")
    ink: int | None = Field(None, description="The version of the network that finds the ink of photos.")
    error: str | None = Field(None, description="Why this image cannot be read.")
    kind: str | None = Field(None, description="The name of the error.")


MODEL: dict[str, Any] = {
    "parameters": [
        {
            "name": "model",
            "in": "query",
            "required": False,
            "description": "A name in /models; by default the first model.",
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
_STATUSES = {
    400: "The request is not valid, or has no image.",
    401: "The service requires an access token.",
    404: "There is no such model.",
    408: "The request, or its answer, took too long.",
    413: "More bytes, images or pixels than the service accepts.",
    415: "The bytes are not an image of a known format.",
    422: "The image is broken.",
    503: "The service is too busy; try again after `Retry-After` seconds.",
}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": text} for status, text in _STATUSES.items()
}
