"""Kaggle's Digit Recognizer in one go: train.csv → a run, measured on rows that it held out; test.csv → a submission.

In: the two files of the competition and a recipe. Out: a run directory and `submission.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inkdigit.data.readers.kaggle_csv import read_kaggle_test
from inkdigit.report.submission import Submission, submit
from inkdigit.runs import check_place
from inkdigit.training.recipe import Recipe
from inkdigit.training.run import Run, train
from inkdigit.training.trial import OnTick
from inkdigit.types import Log, check_functions, silent

HELD_OUT = {"protocol": "select", "validation": 0.1, "test_fraction": 0.0}  # of a recipe: a tenth of train.csv measures
ALL_ROWS = {"protocol": "all", "validation": 0.0, "test_fraction": 0.0}  # nothing measures: all of it trains


@dataclass(frozen=True, eq=False)
class Entered:
    """An entry of the competition: the run that trained the model, and its submission."""

    run: Run
    submission: Submission


def kaggle(
    train_csv: str | Path,
    test_csv: str | Path,
    *,
    recipe: Recipe | str | Path = "fast",
    changes: Mapping[str, Any] | None = None,
    out: str | Path = "submission.csv",
    seed: int | None = None,
    all_rows: bool = False,
    device: str = "auto",
    import_seconds: float | None = None,
    progress: bool = True,
    log: Log = silent,
    on_tick: OnTick | None = None,
) -> Entered:
    """Train on Kaggle's train.csv, measure on a held-out tenth of it, and answer test.csv.

    With `all_rows` nothing is held out: for the final entry, after a run that measured. The recipe's fields that say
    what is held out are set accordingly; `changes` are fields that count before these, as in `Recipe.load`. The run is
    written under `runs/`; a file that is at `out` is replaced. The other arguments are those of `train`.

    Raises:
        MalformedFile: one of the files is not Kaggle's.
        UsageError, TrainingError, OutputError: as `train` and `submit`; if possible before the training.
    """
    check_functions(log=log, on_tick=on_tick)
    read_kaggle_test(Path(test_csv))  # whatever would fail after the training must fail before it
    check_place(Path(out), reads=[Path(train_csv), Path(test_csv)])
    fields = {**(ALL_ROWS if all_rows else HELD_OUT), **(changes or {})}
    run = train(
        recipe.change(fields) if isinstance(recipe, Recipe) else Recipe.load(recipe, fields),
        Path(train_csv),  # never the name of a data set
        seed=seed,
        device=device,
        import_seconds=import_seconds,
        progress=progress,
        log=log,
        on_tick=on_tick,
    )
    log(f"Trained {run.folder}. Now the rows of {test_csv}.")
    return Entered(run, submit(run.model, test_csv, out, log=log))
