"""`GET /docs` and `GET /openapi.json`: the interactive documentation of the service.

In: a name. Out: the page of Swagger, its files, and the description that it shows. No other host is needed.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Request
from starlette.responses import Response

from inkdigit.serve.http.answers import json_response
from inkdigit.serve.http.static import READ, TYPES, file_response

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
_files = {
    **{name: files("fastapi_swagger").joinpath("resources", name).read_bytes() for name in SWAGGER},
    "start.js": START.encode(),
}


@router.api_route("/docs", methods=READ)
async def docs() -> Response:
    """The interactive documentation of the service."""
    return Response(DOCS, media_type=TYPES[".html"])


@router.api_route("/docs/{name}", methods=READ)
async def docs_file(name: str) -> Response:
    """A file of the documentation."""
    return file_response(_files, name)


@router.get("/openapi.json")
async def description(request: Request) -> Response:
    """The description that the documentation shows."""
    schema = request.app.openapi()
    if request.app.state.service.settings.token is not None:
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
    return json_response(schema)
