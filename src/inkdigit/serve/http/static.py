"""Files as they are: each is read when the service starts, and answered with its type.

In: a table of files, a name. Out: the bytes of that name, if the table has it: no name of a request opens a file.
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
READ = ["GET", "HEAD"]  # the methods that such a route takes


def file_response(table: Mapping[str, bytes], name: str) -> Response:
    """The file `name` of a table.

    Raises:
        HTTPException: 404, the table has no such name.
    """
    if name not in table:
        raise HTTPException(404)
    return Response(table[name], media_type=TYPES[Path(name).suffix])
