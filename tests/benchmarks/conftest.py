"""Lines as the scripts of `benchmarks/` write them; `form`, as the peers find it: by their folder."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS / "peers"))  # the peers run by path, and import their `form` so


def cells(row: str) -> list[str]:
    """The cells of one row of a table."""
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.fixture(scope="session")
def about(line: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """What any measurement says of itself."""
    return {key: line()[key] for key in ("smoke", "date", "commit", "machine", "versions")}


@pytest.fixture(scope="session")
def line() -> Callable[..., dict[str, Any]]:
    """Make one line of `bench.jsonl`; its last end of an epoch is what it reports."""

    def make(entrant: str = "fast", **fields: Any) -> dict[str, Any]:
        curve = fields.get("curve", [[1, 2.0, 0.98], [2, 4.0, 0.991]])
        figures = {
            "run": "20260101-000000",
            "smoke": False,
            "date": "2026-01-01 00:00:00",
            "commit": "abc",
            "machine": {
                "processor": "Z80",
                "cores": 2,
                "memory_gb": 8.0,
                "platform": "Linux",
                "load_before": 0.0,
            },
            "versions": {"python": "3.11"},
            "entrant": entrant,
            "kind": "peer" if "_" in entrant else "recipe",
            "seed": 0,
            "parameters": 1000,
            "threads": 2,
            "device": "cpu",
            "import_seconds": 1.0,
            "load_seconds": 1.5,
            "train_seconds": curve[-1][1],
            "export_seconds": 2.5,
            "answer_seconds": 0.5,
            "process_seconds": 12.0,
            "peak_mb": 500.0,
            "accuracy": curve[-1][2],
            "n": 10000,
            "curve": curve,
        }
        if figures["kind"] == "recipe":
            figures |= {"recipe_sha256": "one", "bfloat16": True}
        return {**figures, **fields}

    return make
