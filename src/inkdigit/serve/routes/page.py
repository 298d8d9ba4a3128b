"""`GET /` and `GET /web/{name}`: the web page to draw on, and its files.

In: a name. Out: a file of `serve/web/`.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from inkdigit.serve.http.static import READ, TYPES, file_response

PAGE = "index.html"

router = APIRouter(include_in_schema=False)
_files = {
    path.name: path.read_bytes() for path in (Path(__file__).parents[1] / "web").iterdir() if path.suffix in TYPES
}


@router.api_route("/", methods=READ)
async def page() -> Response:
    """The web page to draw on."""
    return file_response(_files, PAGE)


@router.api_route("/web/{name}", methods=READ)
async def web(name: str) -> Response:
    """A file of the page."""
    return file_response(_files, name)
