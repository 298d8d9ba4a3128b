"""The comparison of the examples' preprocessing with the package's: what is compared, and what the page quotes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

compare = pytest.importorskip("benchmarks.preprocessing.compare", reason="scikit-learn is not installed")

ROOT = Path(__file__).parents[3]


def test_the_page_quotes_what_was_compared():
    sets = json.loads((ROOT / "benchmarks/results/preprocessing.json").read_text(encoding="utf-8"))["sets"]
    assert {row[key] for row in sets for key in ("javascript_differs", "cpp_differs")} == {0, None}
    assert all(row["javascript_differs"] == 0 for row in sets)
    gray = sum(row["pictures"] for row in sets if row["clean"] is not None)
    colour = sum(row["pictures"] for row in sets if row["clean"] is None)
    page = (ROOT / "docs" / "preprocessing.md").read_text(encoding="utf-8")
    assert f"{gray:,} gray pictures" in page
    assert f"{colour:,} colour pictures" in page


def test_a_picture_that_differs_is_counted(tmp_path):
    gray = np.zeros((2, 18, 18), np.uint8)
    gray[0, 4:14, 6:9] = 200
    gray[1, 2:4, 2:4] = gray[1, 9:14, 9:14] = 200  # two pieces: not clean
    wanted = np.frombuffer(compare.expected(gray, "ink"), np.uint8).reshape(2, 785)
    assert wanted[:, 0].tolist() == [1, 0]
    file = tmp_path / "00.js"
    assert compare.different(file, wanted) is None
    wanted.tofile(file)
    assert compare.different(file, wanted) == 0
    other = wanted.copy()
    other[1, 0] = 1
    other.tofile(file)
    assert compare.different(file, wanted) == 1
