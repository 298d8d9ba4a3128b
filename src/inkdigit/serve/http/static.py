"""Static files: read when the service starts, and sent with their content type.

In: a table of files, a name. Out: the bytes of that name in the table. No name of a request opens a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.responses import Response

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
READ = ["GET", "HEAD"]  # the methods of such a route


def file_response(table: Mapping[str, bytes], name: str) -> Response:
    """The file `name` of a table.

    Raises:
        HTTPException: 404, the name is not in the table.
    """
    if name not in table:
        raise HTTPException(404)
    return Response(table[name], media_type=TYPES[Path(name).suffix])
