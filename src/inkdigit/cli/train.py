"""`inkdigit train`, `kaggle`, and the first run of `make run`: from data to a model file and a report."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.errors import MissingExtra, TrainingError, UsageError
from inkdigit.runs import PAGE, check_place, model_path

if TYPE_CHECKING:
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.run import Run
    from inkdigit.training.seeds import Trained

Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Seed = Annotated[int | None, typer.Option(help="Another seed than the recipe's.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field.")]


def train(
    recipe: Annotated[str | None, typer.Argument(help="A bundled recipe, or the path of a TOML file.")] = None,
    data: Annotated[str | None, typer.Option(help="SOURCE to train on; else what the recipe names.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory, or that of all runs of --seeds; else under runs/.")
    ] = None,
    seed: Seed = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0-4", help="One run a seed, and what they come to; also 0,2,5.")
    ] = None,
    set_: Set = None,
    device: Device = "auto",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")] = None,
) -> None:
    """Train a model from raw data and write a model file and a report.

    Example: inkdigit train fast --data mnist --set epochs=3
    """
    if (recipe is None) == (resume is None):
        raise UsageError("Say what to train", expected="either a RECIPE or --resume RUN")
    if seeds is not None and (seed is not None or resume is not None):
        hint = "The same command with --seeds goes on where it was stopped."
        raise UsageError("--seeds says which runs there are", expected="no --seed and no --resume", hint=hint)
    if resume is not None and (data or out or seed is not None or set_):
        raise UsageError("--resume goes on with the run as it was begun", expected="no --data, --out, --seed or --set")
    from inkdigit.training.recipe import Recipe, parse_seeds

    if resume is not None:
        _tell(_run(resume, resume=True, device=device))
        return
    changes = _changes(set_, seed)
    if seeds is None:
        _tell(_run(Recipe.load(str(recipe), changes), data=data, out=out, device=device))
        return
    if "seed" in changes:
        raise UsageError("--seeds says which seeds there are", expected="no --set seed=…")
    numbers = parse_seeds(seeds)
    _tell_seeds(_run_seeds(Recipe.load(str(recipe), changes), numbers, data=data, out=out, device=device))


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
    from inkdigit.data.readers.kaggle_csv import read_kaggle_test
    from inkdigit.kaggle import HELD_OUT
    from inkdigit.training.recipe import Recipe

    # What would fail after the training should fail before it.
    read_kaggle_test(test_csv)
    check_place(out, reads=[train_csv, test_csv])
    run = _run(Recipe.load(recipe, {**HELD_OUT, **_changes(set_, seed)}), data=str(train_csv), device=device)
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
    from inkdigit.data.sources import SKLEARN_DIGITS, open_mnist_or_bundled
    from inkdigit.training.recipe import Recipe

    recipe = Recipe.load("fast")
    with talk.interruptible():
        dataset = open_mnist_or_bundled(log=talk.note)
    run = _run(recipe, data=dataset)
    _tell(run, ahead=False)
    small = dataset.name == SKLEARN_DIGITS  # too few of them to read photographs
    talk.note(f"\nThe pictures in {examples}, read by {'the bundled model' if small else 'the new model'}:")
    predict([examples], model="default" if small else str(run.folder))
    talk.next_steps(["inkdigit", "predict", "your-own-picture.jpg"], ["inkdigit", "--help"])


def _changes(assignments: list[str] | None, seed: int | None) -> dict[str, Any]:
    from inkdigit.training.recipe import parse_changes

    changes = parse_changes(assignments or [])
    return changes if seed is None else {**changes, "seed": seed}


@contextmanager
def _needing_torch() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Training needs {exc.name}", "train") from exc


def _run(what: Any, *, resume: bool = False, **options: Any) -> Run:
    """Train or resume, with a progress bar."""
    with talk.interruptible(), talk.training_bar() as bar:
        began = time.perf_counter()
        with _needing_torch():
            from inkdigit.training import run
        begin = run.resume if resume else run.train
        return begin(what, import_seconds=time.perf_counter() - began, log=talk.note, on_tick=bar, **options)


def _run_seeds(recipe: Recipe, seeds: Sequence[int], *, data: str | None, out: Path | None, device: str) -> Trained:
    """Train one run a seed, with a progress bar."""
    with talk.interruptible(), talk.training_bar() as bar:
        began = time.perf_counter()
        with _needing_torch():
            from inkdigit.training.seeds import train_seeds
        return train_seeds(
            recipe,
            seeds,
            data=data,
            out=out,
            device=device,
            import_seconds=time.perf_counter() - began,
            log=talk.note,
            on_tick=bar,
        )


def _tell_seeds(trained: Trained) -> None:
    """Print what the seeds came to.

    Raises:
        TrainingError: some of them failed.
    """
    from inkdigit.report.seeds import PAGE as SEEDS_PAGE
    from inkdigit.report.seeds import sentences, table

    seeds = trained.seeds
    talk.table(table(seeds), left=1)
    talk.say()
    for sentence in sentences(seeds):
        talk.say(sentence)
    talk.say(f"Summary     {trained.folder / SEEDS_PAGE}")
    if seeds.missing:
        count = len(seeds.missing) + len(seeds.seeds)
        raise TrainingError(f"{len(seeds.missing)} of {count} seeds failed", received=_reasons(seeds.missing))
    talk.next_steps(
        ["inkdigit", "compare", str(trained.folder), "FOLDER-OF-ANOTHER-RECIPE"],
        ["inkdigit", "info", str(seeds.entries[0].folder)],
    )


def _reasons(missing: Mapping[int, str]) -> str:
    return "; ".join(f"seed {seed}, {reason.rstrip('.')}" for seed, reason in missing.items())


def _tell(run: Run, *, ahead: bool = True) -> None:
    """Print what a run came to, and the likely next commands."""
    report = run.report
    talk.say(talk.reported(report["accuracy"], report["accuracy_ci95"], report["n"], split=report["report_name"]))
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
