"""How an answer looks: JSON, an entry a picture as `predict --json` prints it, and an error with its status.

In: predictions and errors. Out: responses.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from inkdigit.errors import Busy, InkdigitError, PictureError, Unauthorized
from inkdigit.model.recognizer import Recognizer
from inkdigit.types import Prediction


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`data` as JSON."""
    return Response(to_bytes(data), status, headers, "application/json")


def to_bytes(data: Any) -> bytes:
    """JSON as UTF-8; a half of a surrogate pair, which is no text, is escaped."""
    return json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace")


def entry(file: str | None, answer: Prediction | PictureError, recognizer: Recognizer) -> dict[str, Any]:
    """One picture's answer with exactly the keys of a line of `predict --json`."""
    if isinstance(answer, PictureError):
        return {"file": file, **answer.to_json()}
    return {"file": file, **answer.to_json(), "model": recognizer.name}


def error_response(exc: InkdigitError) -> Response:
    """An error of the tree with its status."""
    headers = {}
    if isinstance(exc, Busy):
        headers["Retry-After"] = str(exc.retry_after_s)
    if isinstance(exc, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(exc.to_json(), exc.http_status, headers)
