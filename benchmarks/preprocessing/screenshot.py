"""Draw on the page of examples/browser in Chromium, and keep what it looks like: `docs/runtimes/browser-*.png`.

In: `npm ci` was run in examples/browser; Chromium and Playwright. Out: a picture in each theme.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from benchmarks.common import machine
from benchmarks.serving import drawing
from inkdigit.model.recognizer import bundled

PAGE = machine.ROOT / "examples" / "browser"
OUT = machine.ROOT / "docs" / "runtimes"
MODEL = "fast"
SIZE = {"width": 960, "height": 690}


class Quiet(SimpleHTTPRequestHandler):
    """Files of a folder, without a log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def served(model: Path) -> Iterator[str]:
    """The address of the page, with this model beside it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in PAGE.iterdir():
            if path.name != "model.onnx":
                (folder / path.name).symlink_to(path)
        shutil.copy(model, folder / "model.onnx")
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=name)) as server:
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}/"
            finally:
                server.shutdown()
                thread.join()


def main() -> None:
    OUT.mkdir(exist_ok=True)
    with served(bundled()[MODEL]) as address, drawing.browser() as running:
        for scheme in ("light", "dark"):
            page = running.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(address)
            page.wait_for_selector("body[data-state=ready]")
            drawing.draw(page, drawing.strokes(5))
            page.wait_for_selector("#label:text-is('5')")
            page.screenshot(path=OUT / f"browser-{scheme}.png")
            page.close()
            print(OUT / f"browser-{scheme}.png")


if __name__ == "__main__":
    main()
