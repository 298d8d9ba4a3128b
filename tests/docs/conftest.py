"""What the tests of the documentation share: its pages as they are written, and the site that is built of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
AROUND = [*ROOT.glob("*.md"), *(ROOT / ".github").glob("*.md"), ROOT / "deploy" / "README.md"]
PAGES = [*sorted(path for path in AROUND if path.name != "CHANGELOG.md"), *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True)
class Site:
    """The site on the disk, and how it was built."""

    folder: Path
    output: str
    code: int
    processor_seconds: float

    def url(self, page: str) -> str:
        """The address of a page, which a browser opens without a server."""
        return f"{self.folder.as_uri()}/{page}"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Site:
    """The built site; of several processes that test, one builds it."""
    pytest.importorskip("material", reason="the extra docs is not installed")
    filelock = pytest.importorskip("filelock")
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "site"
    built = folder.with_suffix(".json")
    with filelock.FileLock(str(folder) + ".lock"):
        if not built.exists():
            built.write_text(json.dumps(_build(folder)), encoding="utf-8")
    return Site(folder, **json.loads(built.read_text(encoding="utf-8")))


def _build(folder: Path) -> dict[str, Any]:
    before = _children_seconds()
    command = [sys.executable, str(DOCS / "build.py"), "--site", str(folder)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=folder.parent)
    seconds = _children_seconds() - before
    return {"output": done.stdout + done.stderr, "code": done.returncode, "processor_seconds": seconds}


def _children_seconds() -> float:
    """The seconds that the ended children of this process computed; on Windows, which does not count them, the time."""
    try:
        import resource
    except ImportError:
        return time.monotonic()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")  # only one can run in a process, and others test pages, too
def browser() -> Iterator[Any]:
    """A running Chromium."""
    pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    from benchmarks.serving import drawing

    if shutil.which(drawing.PROGRAM) is None:
        pytest.skip("there is no chromium here")
    with drawing.browser() as running:
        yield running
