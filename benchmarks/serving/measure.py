"""How many requests `inkdigit serve` answers, what happens with four times as many, and how soon its page answers.

In: an installed `inkdigit[serve]`. Out: lines of `results/serving.jsonl`, one a case. The service is a fresh process
for each case; the generator (`serving/load.py`) runs on the same cores, and uses a share of them.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import results
from benchmarks.serving import drawing, load, service
from inkdigit.synth import drawn
from inkdigit.types import Gray

LEDGER = "serving.jsonl"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "fastapi", "uvicorn", "uvloop")
LABEL = 7
PHOTO_SIDES = (1632, 1224)  # pixels: two megapixels
PHOTO_QUALITY = 85
TIMES = 4  # of what it can answer, in an overload
CROWD = 256  # connections in an overload: four times what the queue holds
WARM_S = 2.0
CALM_S = 5.0  # before and after an overload
CONNECTIONS = {"digit": 32, "photo": 8}


@dataclass(frozen=True)
class Body:
    """An image to send: its name in the results, and the request."""

    name: str
    request: load.Request
    size: int  # bytes of the image


def digit() -> bytes:
    """A clean 28×28 digit as PNG."""
    digit = drawn.digit(LABEL, rng=np.random.default_rng(0), size_px=28)
    return _encoded(digit, "PNG")


def photo() -> bytes:
    """A digit on paper as a camera sees it, lit from one side, with its grain: two megapixels as JPEG."""
    w, h = PHOTO_SIDES
    rng = np.random.default_rng(0)
    ink = drawn.digit(LABEL, rng=rng, size_px=900) / np.float32(255)
    cover = np.zeros((h, w), np.float32)
    top, left = (h - ink.shape[0]) // 2, (w - ink.shape[1]) // 2
    cover[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j]
    paper = 215 - 60 * (0.6 * x + 0.4 * y)
    gray = paper * (1 - cover) + 55 * cover + rng.normal(0, 4, (h, w))
    warm = np.clip(gray[..., None] * (1.0, 0.98, 0.93), 0, 255)  # colour, as a camera gives it
    return _encoded(np.rint(warm).astype(np.uint8), "JPEG", quality=PHOTO_QUALITY)


def _encoded(image: Gray, kind: str, **options: int) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def post(image: bytes, host: str) -> load.Request:
    """One image as a request that keeps the connection."""
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(image)}\r\n\r\n"
    return load.Request(head.encode() + image, re.compile(rb'"label": ?"%d"' % LABEL))


def steady(at: service.Service, name: str, image: bytes, *, seconds: float) -> dict[str, Any]:
    """As many requests as are answered, on a few connections."""
    request, lines = post(image, at.host), CONNECTIONS[name]

    async def run() -> dict[str, Any]:
        await load.closed(at.host, request, connections=lines, seconds=min(WARM_S, seconds))
        rss = at.rss_mb()
        done, peak = await load.watched(load.closed(at.host, request, connections=lines, seconds=seconds), at.rss_mb)
        return {**load.figures(done), "rss_before_mb": round(rss, 1), "rss_most_mb": round(peak, 1)}

    return {"connections": lines, "bytes": len(image), **asyncio.run(run())}


def overload(at: service.Service, name: str, image: bytes, *, rate: float, seconds: float) -> dict[str, Any]:
    """Four times as many requests as were answered; and how it was before, and is right after."""
    request, lines, calm_s = post(image, at.host), CONNECTIONS[name], min(CALM_S, seconds)

    async def run() -> dict[str, Any]:
        await load.closed(at.host, request, connections=lines, seconds=min(WARM_S, seconds))
        before = await load.closed(at.host, request, connections=lines, seconds=calm_s)
        rss = at.rss_mb()
        work = load.arrive(at.host, request, rate=TIMES * rate, connections=CROWD, seconds=seconds)
        crowd, peak = await load.watched(work, at.rss_mb)
        waited, _ = await load.first_answer(at.host, request, patience_s=2 * service.STOP_S)
        after = await load.closed(at.host, request, connections=lines, seconds=calm_s)
        return {
            "before": load.figures(before),
            "crowd": load.refusals(crowd),
            "first_answer_s": round(waited, 3),
            "after": load.figures(after),
            "rss_before_mb": round(rss, 1),
            "rss_most_mb": round(peak, 1),
            "rss_after_mb": round(at.rss_mb(), 1),
        }

    about = {"connections": CROWD, "bytes": len(image), "capacity_per_s": rate, "offered_per_s": TIMES * rate}
    return {**about, **asyncio.run(run()), "alive": at.get("/health/ready") == 200}


def starts(runs: int, *, log: Path) -> dict[str, Any]:
    """How long from the start of the process until it is ready."""
    took = []
    for number in range(runs + 1):  # the first fills the disk cache
        with service.running(log=log) as at:
            took += [at.start_s] if number else []
    return {"n": runs, "start_s": results.summary(took, 6)}


def measure(options: argparse.Namespace, about: dict[str, Any], *, log: Path) -> None:
    """Every case in turn; a line each, as soon as it is there."""

    def write(case: str, workers: int, figures: dict[str, Any]) -> None:
        record = {**about, "case": case, "workers": workers, "seconds": options.seconds, **figures}
        results.append(options.results / LEDGER, record)
        print(f"{case}, {workers} worker{'s' if workers > 1 else ''}: {figures}", flush=True)

    if "start" in options.only:
        write("start", 1, starts(options.starts, log=log))
    images = {"digit": digit(), "photo": photo()}
    for workers in options.workers:
        for name in (name for name in images if name in options.only):
            with service.running("--workers", str(workers), log=log) as at:
                figures = steady(at, name, images[name], seconds=options.seconds)
            write(name, workers, figures)
            if "overload" not in options.only:
                continue
            with service.running("--workers", str(workers), log=log) as at:
                crowd = overload(at, name, images[name], rate=figures["per_s"], seconds=options.seconds)
            write(f"{name} overload", workers, crowd)
    if "page" in options.only:  # last: it needs Playwright and a browser
        with service.running(log=log) as at, drawing.browser() as running:
            figures = drawing.times(running, at.url, [*range(10)] * options.drawings)
        write("page", 1, figures)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the chosen cases."""
    parser = results.parser(__doc__, smoke="half a second each, one worker")
    parser.add_argument("--seconds", type=float, default=30.0, help="of each load")
    parser.add_argument("--starts", type=int, default=10, help="how often it is started to be timed")
    parser.add_argument("--drawings", type=int, default=10, help="how often each digit is drawn on the page")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    cases = ["start", "digit", "photo", "overload", "page"]
    parser.add_argument("--only", nargs="+", choices=cases, default=cases)
    options = parser.parse_args(argv)
    if options.seconds <= 0 or min(options.starts, options.drawings, *options.workers) < 1:
        parser.error("--seconds, --starts, --drawings and --workers are above 0")
    if options.smoke:
        options.seconds, options.starts, options.drawings, options.workers = 0.5, 1, 1, [1]
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.serving.measure")
    with tempfile.TemporaryDirectory() as folder:
        measure(options, about, log=Path(folder) / "serve.log")


if __name__ == "__main__":
    main()
