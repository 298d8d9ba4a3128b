"""Run directories as training leaves them, without any training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inkdigit import runs
from inkdigit.measure.ledger import Entry, read_finished
from inkdigit.measure.seeds import Seeds, gather
from inkdigit.measure.stats import wilson

LABELS = np.arange(40) % 3


def make_run(
    folder: Path,
    *,
    wrong: tuple[int, ...] = (),
    finished: bool = True,
    labels: np.ndarray = LABELS,
    sha256: str = "a",
    test: int | None = 40,
    history: str = "epoch,train_loss,train_accuracy,validation_loss,validation_accuracy\n1,2,0.5,,\n2,0.1,1.0,,\n",
    **recipe: Any,
) -> Path:
    """A run that is wrong on the pictures at `wrong`, where a negative one gets no answer; more fields: its recipe."""
    fields = {"name": "tiny", "data": "drawn", "seed": 0, "protocol": "final", **recipe}
    folder.mkdir(parents=True)
    (folder / runs.RECIPE).write_text(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()), encoding="utf-8"
    )
    (folder / runs.METRICS).write_text(history, encoding="utf-8")
    if not finished:
        return folder
    probs = np.eye(3, dtype=np.float32)[labels]
    for i in wrong:
        probs[i] = np.roll(probs[i], 1) if i >= 0 else np.nan
    n, right = len(labels), len(labels) - len(wrong)
    report = {
        "report_name": "validation" if fields["protocol"] == "select" else "test",
        "accuracy": right / n,
        "accuracy_ci95": wilson(right, n),
        "n": n,
        "data": fields["data"],
        "classes": ["0", "1", "2"],
        "train_seconds": 12.5,
        "epochs": 2,
        "model": {"parameters": 1234},
        "environment": {"data": {"sha256": sha256, "test": test}},
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    np.savez(folder / "predictions.npz", probs=probs, logits=probs, labels=labels)
    (folder / runs.DONE).write_text("now\n", encoding="utf-8")
    return folder


def finished(folder: Path, *wrong: tuple[int, ...], **fields: Any) -> list[Entry]:
    """One finished run a seed, s0, s1, … in `folder`, wrong on these pictures."""
    return [
        read_finished(make_run(folder / f"s{seed}", wrong=pictures, seed=seed, **fields))
        for seed, pictures in enumerate(wrong)
    ]


def seeds(folder: Path, wrong: dict[int, int], **fields: Any) -> Seeds:
    """Runs that read so many pictures wrongly: seed → how many."""
    made = [make_run(folder / f"s{seed}", wrong=tuple(range(n)), seed=seed, **fields) for seed, n in wrong.items()]
    return gather(folder.name, [read_finished(run) for run in made])


def several(folder: Path) -> list[Path]:
    """Runs to compare: one wrong answer; ten others; the same as the first; a validation split."""
    return [
        make_run(folder / "first", wrong=(0,)),
        make_run(folder / "worse", wrong=tuple(range(20, 30)), seed=1, epochs=7),
        make_run(folder / "same", wrong=(0,), seed=2),
        make_run(folder / "held", protocol="select"),
    ]
