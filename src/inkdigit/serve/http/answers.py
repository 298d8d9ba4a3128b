"""Responses of JSON in UTF-8.

In: data. Out: responses.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def json_response(data: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A response with `data` as JSON."""
    return Response(to_bytes(data), status, headers, "application/json")


def to_bytes(data: Any) -> bytes:
    """JSON in UTF-8; half a surrogate pair, which has no UTF-8, is escaped."""
    return json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace")
