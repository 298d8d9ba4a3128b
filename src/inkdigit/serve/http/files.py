"""The files that a browser gets: the page, and the documentation. All are read when the service starts.

In: a name. Out: its bytes, if it is one of a fixed table: no name of a request opens a file.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
READ = ["GET", "HEAD"]
PAGE = "index.html"
SWAGGER = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png")
DOCS = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Inkdigit: the API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
START = """\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  validatorUrl: null,
  tryItOutEnabled: true,
});
"""

router = APIRouter(include_in_schema=False)
_web = {path.name: path.read_bytes() for path in (Path(__file__).parents[1] / "web").iterdir() if path.suffix in TYPES}
_docs = {
    **{name: files("fastapi_swagger").joinpath("resources", name).read_bytes() for name in SWAGGER},
    "start.js": START.encode(),
}


@router.api_route("/", methods=READ)
async def page() -> Response:
    """The page to draw on."""
    return _response(_web, PAGE)


@router.api_route("/web/{name}", methods=READ)
async def web(name: str) -> Response:
    """What the page is made of."""
    return _response(_web, name)


@router.api_route("/docs", methods=READ)
async def docs() -> Response:
    """The documentation of the service, to try it in."""
    return Response(DOCS, media_type=TYPES[".html"])


@router.api_route("/docs/{name}", methods=READ)
async def docs_file(name: str) -> Response:
    """What the documentation is made of."""
    return _response(_docs, name)


def _response(table: dict[str, bytes], name: str) -> Response:
    if name not in table:
        raise HTTPException(404)
    return Response(table[name], media_type=TYPES[Path(name).suffix])
