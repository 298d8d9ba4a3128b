"""`inkdigit train`, `kaggle`, and the first run of `make run`: from data to a model file and a report."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.errors import DataError, MissingExtra, OutputError, UsageError
from inkdigit.runs import PAGE, check_place, model_path

if TYPE_CHECKING:
    from inkdigit.training.run import Run

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Seed = Annotated[int | None, typer.Option(help="Another seed than the recipe's.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field.")]


def train(
    recipe: Annotated[str | None, typer.Argument(help="A bundled recipe, or the path of a TOML file.")] = None,
    data: Annotated[str | None, typer.Option(help="SOURCE to train on; else what the recipe names.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory; else a new one under runs/.")] = None,
    seed: Seed = None,
    set_: Set = None,
    device: Device = "auto",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")] = None,
) -> None:
    """Train a model from raw data and write a model file and a report.

    Example: inkdigit train fast --data mnist --set epochs=3
    """
    if (recipe is None) == (resume is None):
        raise UsageError("Say what to train", expected="either a RECIPE or --resume RUN")
    if resume is not None and (data or out or seed is not None or set_):
        raise UsageError("--resume goes on with the run as it was begun", expected="no --data, --out, --seed or --set")
    from inkdigit.training.recipe import Recipe

    if resume is not None:
        _tell(_run(resume, resume=True, device=device))
        return
    _tell(_run(Recipe.load(str(recipe), _changes(set_, seed)), data=data, out=out, device=device))


def kaggle(
    train_csv: Annotated[Path, typer.Argument(metavar="TRAIN.csv", help="Kaggle's train.csv.")],
    test_csv: Annotated[Path, typer.Argument(metavar="TEST.csv", help="Kaggle's test.csv.")],
    recipe: Annotated[str, typer.Option(help="A bundled recipe, or the path of a TOML file.")] = "fast",
    out: Annotated[Path, typer.Option(help="The submission to write.")] = Path("submission.csv"),
    seed: Seed = None,
    set_: Set = None,
    device: Device = "auto",
) -> None:
    """Train on Kaggle's train.csv, measure on a held-out tenth of it, and answer test.csv.

    Example: inkdigit kaggle train.csv test.csv
    """
    from inkdigit.cli.predict import write_submission
    from inkdigit.data.csvs import read_kaggle_test
    from inkdigit.training.recipe import Recipe

    # What would fail after the training should fail before it.
    read_kaggle_test(test_csv)
    check_place(out, reads=[train_csv, test_csv])
    changes = {"protocol": "select", "validation": 0.1, "test_fraction": 0.0}
    run = _run(Recipe.load(recipe, {**changes, **_changes(set_, seed)}), data=str(train_csv), device=device)
    _tell(run, ahead=False)
    with talk.interruptible():
        write_submission(run.model, test_csv, out)
    talk.next_steps(["head", "-3", str(out)])


def first_run(
    examples: Annotated[Path, typer.Argument(help="The folder of example pictures.")] = Path("examples"),
) -> None:
    """Train `fast` on MNIST, or on scikit-learn's digits without it, and read the example pictures.

    Example: inkdigit first-run examples
    """
    from inkdigit.cli.predict import predict
    from inkdigit.data.sources import open_data
    from inkdigit.training.recipe import Recipe

    recipe, model = Recipe.load("fast"), None
    with talk.interruptible():
        try:
            dataset = open_data("mnist")
        except (DataError, OutputError):
            talk.note("MNIST is not in reach: training on the 1,797 digits that ship with scikit-learn instead.")
            dataset, model = open_data("sklearn-digits"), "default"
    run = _run(recipe, data=dataset)
    _tell(run, ahead=False)
    model = model or str(run.folder)
    talk.note(
        f"\nThe pictures in {examples}, read by {'the bundled model' if model == 'default' else 'the new model'}:"
    )
    predict([examples], model=model)
    talk.next_steps(["inkdigit", "predict", "your-own-picture.jpg"], ["inkdigit", "--help"])


def _changes(assignments: list[str] | None, seed: int | None) -> dict[str, Any]:
    from inkdigit.training.recipe import parse_changes

    changes = parse_changes(assignments or [])
    return changes if seed is None else {**changes, "seed": seed}


def _run(what: Any, *, resume: bool = False, **options: Any) -> Run:
    """Train or resume, with a progress bar."""
    with talk.interruptible(), talk.training_bar() as bar:
        began = time.perf_counter()
        try:
            from inkdigit.training import run
        except ModuleNotFoundError as exc:
            raise MissingExtra(f"Training needs {exc.name}", "train") from exc
        begin = run.resume if resume else run.train
        return begin(what, import_seconds=time.perf_counter() - began, log=talk.note, on_tick=bar, **options)


def _tell(run: Run, *, ahead: bool = True) -> None:
    """Print what a run came to, and the likely next commands."""
    report = run.report
    right = round(report["accuracy"] * report["n"])
    talk.say(
        f"Accuracy    {talk.percent(report['accuracy'])} on the {report['report_name']} part "
        f"({right:,} of {report['n']:,}; {talk.interval(report['accuracy_ci95'])})"
    )
    talk.say(f"Trained in  {report['train_seconds']:.1f} s")
    talk.say(f"Model       {model_path(run.folder)}")
    talk.say(f"Report      {run.folder / PAGE}")
    if ahead:
        folder = str(run.folder)
        talk.next_steps(
            ["inkdigit", "predict", "picture.png", "--model", folder],
            ["inkdigit", "evaluate", folder, "--data", report["recipe"]["data"]],
            ["inkdigit", "info", folder],
        )
