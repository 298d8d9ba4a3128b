"""`GET /models`: the loaded models, with the contents of their cards.

In: a request without a body. Out: JSON, the same for every request.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from inkdigit.model.recognizer import Recognizer
from inkdigit.reading.reader import Reader
from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.openapi import SERVICE
from inkdigit.serve.service import Service

router = APIRouter()


class About(BaseModel):
    """What the card of a model for single digits and that of a line reader both say."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    parameters: int
    bytes: int = Field(description="The size of the model file.")
    numbers: str = Field(description="float32, int8, or int8 weights.")
    trained_on: str | None
    drawn: str = Field(description="What was drawn for its training beside these images; empty if nothing was.")


class ModelEntry(About):
    """A loaded model, with what its card says."""

    classes: list[str]
    figures: dict[str, Any] = Field(description="What was measured, and on which images.")
    outliers: list[str] = Field(description="The kinds of outliers that the model knows: each is a reason to reject.")


class ReaderEntry(About):
    """The reader of numbers, with what its card says."""

    alphabet: str = Field(description="The characters that it reads.")


class Models(BaseModel):
    """The loaded models."""

    default: str = Field(description="The model that answers by default.")
    models: list[ModelEntry]
    reader: ReaderEntry


@router.get("/models", tags=SERVICE, summary="The loaded models", response_model=Models)
async def models(request: Request) -> Response:
    """The loaded models, with what their cards say. `?model=` selects one by its name."""
    return json_response(request.app.state.models)


def describe(service: Service) -> dict[str, Any]:
    """The response, made when the service starts: a model file may be moved later."""
    return {
        "default": service.default,
        "models": list(map(_describe, service.recognizers.values())),
        "reader": {**_about(service.reader), "alphabet": service.reader.alphabet},
    }


def _describe(recognizer: Recognizer) -> dict[str, Any]:
    card = recognizer.card
    return {**_about(recognizer), "classes": card.classes, "figures": card.figures, "outliers": card.outliers}


def _about(model: Recognizer | Reader) -> dict[str, Any]:
    """The fields of `About`."""
    card = model.card
    return {
        "name": card.name,
        "parameters": card.parameters,
        "bytes": model.path.stat().st_size,
        "numbers": card.numbers,
        "trained_on": None if card.provenance.data is None else card.provenance.data.name,
        "drawn": card.provenance.drawn,
    }
