"""The figures of docs/runtimes.md: those of the files that ship, between two comments of the page."""

from __future__ import annotations

import hashlib

import pytest

from benchmarks.runtimes import page
from inkdigit.errors import MalformedFile
from inkdigit.model.recognizer import bundled


@pytest.fixture
def record() -> dict:
    sha256 = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in bundled().items()}
    entry = {"format": "tflite", "bytes": 2_000_000, "other_labels": 1, "differences": {"probs": 2.5e-7, "score": 0.0}}
    return {
        "images": 1000,
        "date": "2026-11-29 12:00:00",
        "commit": "abc",
        "machine": {"processor": "P", "cores": 2, "memory_gb": 25, "platform": "Linux", "load_before": 0.1},
        "versions": {"openvino": "2026.4.1"},
        "files": {**sha256, "fast": "another file"},
        "formats": [{"model": "general", **entry}, {"model": "fast", **entry}],
    }


def test_only_files_that_ship_have_figures(record):
    part = page.measured(record)
    assert "| `general` | `tflite` | 2.00 MB | 2.5e-07 | 0 | – | 1 |" in part
    assert "| `fast` | not measured |" in part
    assert "`fast` | `tflite`" not in part
    assert "over 1,000 drawn digits" in part
    assert "Not measured" in page.measured(None)


def test_the_rest_of_the_page_stays(tmp_path):
    text = f"# A\n\n{page.BEGIN}old\n{page.END}\n\n## By hand\n"
    (tmp_path / "runtimes.md").write_text(text, encoding="utf-8")
    written = page.files(tmp_path, tmp_path / "runtimes.md")
    assert b"old" not in written[tmp_path / "runtimes.md"]
    assert written[tmp_path / "runtimes.md"].endswith(b"<!-- end -->\n\n## By hand\n")
    assert {path.name for path in written} == {"runtimes.md", "formats-light.svg", "formats-dark.svg"}
    (tmp_path / "runtimes.md").write_text("# A\n", encoding="utf-8")
    with pytest.raises(MalformedFile, match="not marked"):
        page.files(tmp_path, tmp_path / "runtimes.md")
