"""`inkdigit serve`: the service for programs, and the page for people."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, UsageError

NEEDS = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client", "fastapi_swagger")
UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 2**10, "mib": 2**20, "gib": 2**30}
LEAST_BYTES = 1024


def serve(
    model: Annotated[
        list[str] | None, typer.Option(help="A bundled model, a run directory or an .onnx file; more by repeating it.")
    ] = None,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is every one of this machine.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    max_bytes: Annotated[str, typer.Option(metavar="SIZE", help="The largest request: 8MB, 500kB, 1MiB.")] = "8MiB",
    collect: Annotated[
        Path | None, typer.Option(metavar="FILE.db", help="Keep the corrections that people agree to give.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="INKDIGIT_TOKEN", help="Answer those alone who bring this token.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="A foreign site whose pages may ask; repeatable.")
    ] = None,
    queue: Annotated[int, typer.Option(min=1, max=10_000, help="Requests that may wait, in each process.")] = 64,
    time_limit: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=600, help="For a request to come, and for its answer.")
    ] = 10.0,
) -> None:
    """Answer pictures over HTTP, with a page to draw on.

    Example: inkdigit serve --port 8000
    """
    if missing := next((library for library in NEEDS if find_spec(library) is None), None):
        raise MissingExtra(f"Serving needs {missing}", "serve")
    try:
        from inkdigit.client import check_token
        from inkdigit.serve import server
        from inkdigit.serve.settings import Settings
    except ModuleNotFoundError as exc:  # what those libraries need themselves
        if (exc.name or "").partition(".")[0] == "inkdigit":
            raise
        raise MissingExtra(f"Serving needs {exc.name}", "serve") from exc

    settings = Settings(
        models=tuple(model or ["default"]),
        host=host,
        port=port,
        workers=workers,
        max_bytes=parse_size(max_bytes),
        queue=queue,
        time_limit_s=_checked_seconds(time_limit),
        collect=None if collect is None else collect.absolute(),
        token=check_token(token),
        origins=tuple(map(_checked_origin, allow_origin or [])),
    )
    with talk.interruptible():
        server.run(settings, tell=talk.note)


def parse_size(text: str) -> int:
    """Bytes of a size such as 8MB, 500kB, 8MiB or 1048576.

    Raises:
        UsageError: it is no size, or too small for a picture.
    """
    found = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?) ?([a-z]*)", text.strip().lower())
    if found is None or found[2] not in UNITS or (size := int(float(found[1]) * UNITS[found[2]])) < LEAST_BYTES:
        raise UsageError(
            "--max-bytes is no size of a request",
            expected=f"8MB, 500kB, 8MiB or a number of bytes from {LEAST_BYTES}",
            received=repr(text),
        )
    return size


def _checked_seconds(seconds: float) -> float:
    """A time limit; its range was checked, which lets through what is no number."""
    if math.isnan(seconds):
        raise UsageError("--time-limit is no number", expected="seconds", received=str(seconds))
    return seconds


def _checked_origin(origin: str) -> str:
    """An origin as browsers send it."""
    if not re.fullmatch(r"https?://[^/\s?#@*]+", origin):
        raise UsageError("--allow-origin is no origin", expected="https://example.org", received=repr(origin))
    return origin.lower()
