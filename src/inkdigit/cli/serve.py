"""`inkdigit serve`: the service for programs, and the web page for people."""

from __future__ import annotations

import math
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, UsageError
from inkdigit.serve import defaults

NEEDS = ("fastapi", "uvicorn", "httptools", "python_multipart", "prometheus_client", "fastapi_swagger")
UNITS = {"": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 2**10, "mib": 2**20, "gib": 2**30}
MIN_BYTES = 1024  # of --max-bytes: a 28×28 PNG has some 300 bytes, and an error in the unit shows up

Host = Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 is every address of this machine.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="The port to listen at; 0 is any free port.")]


def serve(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A bundled model, a run or its name, or an .onnx file; repeat it for more models."),
    ] = None,
    host: Host = defaults.HOST,
    port: Port = defaults.PORT,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes answer.")] = defaults.WORKERS,
    max_bytes: Annotated[
        str, typer.Option(metavar="SIZE", help="The largest request, for example 8MB, 500kB or 1MiB.")
    ] = f"{defaults.MAX_BYTES // 2**20}MiB",
    collect: Annotated[
        Path | None, typer.Option(metavar="FILE.db", help="Store the corrections that users agree to give.")
    ] = None,
    token: Annotated[
        str | None, typer.Option(envvar="INKDIGIT_TOKEN", help="Answer only requests with this access token.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Another site whose pages may send requests; may be repeated."),
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, max=10_000, help="How many requests may wait in each process.")
    ] = defaults.QUEUE,
    time_limit: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0.1, max=600, help="How long a request may take to arrive, and again to be answered."
        ),
    ] = defaults.TIME_LIMIT_S,
) -> None:
    """Read images over HTTP, with a web page to draw on.

    Example: inkdigit serve --port 8000
    """
    if missing := next((library for library in NEEDS if find_spec(library) is None), None):
        raise MissingExtra(f"Serving needs {missing}", "serve")
    with talk.requiring("Serving needs", "serve"):  # a library that those need
        from inkdigit.connection import check_token
        from inkdigit.serve import server
        from inkdigit.serve.settings import Settings

    settings = Settings(
        models=tuple(model or ["default"]),
        host=host,
        port=port,
        workers=workers,
        max_bytes=parse_size(max_bytes),
        queue=queue,
        time_limit_s=_checked_seconds(time_limit),
        collect=None if collect is None else collect.absolute(),
        token=check_token(_checked_token(token)),
        origins=tuple(map(_checked_origin, allow_origin or [])),
    )
    with talk.interruptible():
        server.run(settings, announce=talk.note)


def parse_size(text: str) -> int:
    """The number of bytes of a size such as 8MB, 500kB, 8MiB or 1048576.

    Raises:
        UsageError: it is not a size, or too small for an image.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,3})?) ?([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS or (size := int(float(match[1]) * UNITS[match[2]])) < MIN_BYTES:
        raise UsageError(
            "--max-bytes is not a size",
            expected=f"8MB, 500kB, 8MiB or a number of bytes from {MIN_BYTES}",
            received=repr(text),
        )
    return size


def _checked_seconds(seconds: float) -> float:
    """A time limit. Typer has checked its range, but accepts nan."""
    if math.isnan(seconds):
        raise UsageError("--time-limit is not a number", expected="seconds", received=str(seconds))
    return seconds


def _checked_origin(origin: str) -> str:
    """An origin in the form that browsers send."""
    if not re.fullmatch(r"https?://[^/\s?#@*]+", origin):
        raise UsageError("--allow-origin is not an origin", expected="https://example.org", received=repr(origin))
    return origin.lower()


def _checked_token(token: str | None) -> str | None:
    """The token, unless it is empty, as `--token "$NAME"` makes it where no variable has this name."""
    if token == "":
        raise UsageError("The token is empty", expected="a token", hint="Leave --token out to let everyone in.")
    return token
