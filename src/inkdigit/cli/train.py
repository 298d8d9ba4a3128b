"""`inkdigit train`, `kaggle`, and the first run of `make run`: from data to a model file and a report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inkdigit.cli import talk
from inkdigit.cli.device import Device
from inkdigit.cli.outputs import Force, check_new
from inkdigit.cli.own import Net, build_of
from inkdigit.cli.resumed import submission_step
from inkdigit.errors import TrainingError, UsageError
from inkdigit.runs import LINE_SETTINGS, PAGE, model_path

if TYPE_CHECKING:
    from inkdigit.training.recipe import Recipe
    from inkdigit.training.run import Run
    from inkdigit.training.seeds import Trained
    from inkdigit.types import Dataset


@dataclass(frozen=True, slots=True)
class Where:
    """The device and engine of a training, its own network and where it is logged, as the options say."""

    device: str = "auto"
    engine: str = "local"
    address: str | None = None
    workers: int | None = None
    net: str | None = None
    log_to: tuple[str, ...] = ()


EXAMPLES = Path("examples")  # in the sources; a wheel has none
DRAWN = "first-run-digits"  # beside the run: what is read where there are no examples
LINE = "line"  # what trains the reader of whole numbers
Seed = Annotated[int | None, typer.Option(help="Random seed, in place of the recipe's.")]
Workers = Annotated[int | None, typer.Option(help="With --engine ray: processes that share each batch of one run.")]
LogTo = Annotated[list[str] | None, typer.Option(metavar="PLACE", help="Log also to tensorboard, mlflow or wandb.")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe.")]


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(help="A bundled recipe, the path of a TOML file, or line: the reader of whole numbers."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="SOURCE to train on; by default that of the recipe.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run directory, or the folder of the runs of --seeds; else in runs/."),
    ] = None,
    seed: Seed = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="0-4", help="One run for each random seed, and a summary; also 0,2,5.")
    ] = None,
    set_: Set = None,
    device: Device = "auto",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue an interrupted run.")] = None,
    engine: Annotated[
        str, typer.Option(help="local: this machine. ray: a cluster, for --seeds or with --workers.")
    ] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The cluster; by default Ray is started here.")
    ] = None,
    workers: Workers = None,
    net: Net = None,
    log: LogTo = None,
) -> None:
    """Train a model from raw data and write a model file and a report.

    Example: inkdigit train fast --data mnist --set epochs=3
    """
    if (recipe is None) == (resume is None):
        raise UsageError("It is not clear what to train", expected="either a RECIPE or --resume RUN")
    if seeds is not None and (seed is not None or resume is not None):
        hint = "The same command with --seeds continues where it was stopped."
        raise UsageError("--seeds already names the runs", expected="no --seed and no --resume", hint=hint)
    if resume is not None and (data or out or seed is not None or set_ or log):
        raise UsageError("--resume continues a run as it was begun", expected="none of --data --out --seed --set --log")
    _check_engine(engine, address, workers, seeds, resume)
    if recipe == LINE or (resume is not None and _is_line(resume)):
        if seeds is not None or device != "auto" or engine != "local" or net or log:
            raise UsageError("The line reader is trained on the processor, with one seed", expected="no such options")
        _train_line(resume, set_, data=data, out=out, seed=seed)
        return
    from inkdigit.measure.seeds import parse_seeds
    from inkdigit.training.recipe import Recipe

    where = Where(device, engine, address, workers, net, tuple(log or ()))
    if resume is not None:
        _print_run(_resume(resume, where))
        return
    changes = _changes(set_, seed, net)
    loaded = Recipe.load(str(recipe), changes)
    if seeds is None:
        _print_run(_train(loaded, where, data=data, out=out))
        return
    if "seed" in changes:
        raise UsageError("--seeds already names the seeds", expected="no --set seed=…")
    _print_seeds(_train_seeds(loaded, parse_seeds(seeds), where, data=data, out=out))


def _check_engine(engine: str, address: str | None, workers: int | None, seeds: str | None, resume: str | None) -> None:
    """Check that the options about the engine go together.

    Raises:
        UsageError: they do not.
        MissingExtra: Ray is not installed.
    """
    from inkdigit.scale.cluster import check_workers

    on_ray = check_workers(engine, address, workers)
    if seeds is not None and workers is not None:
        raise UsageError("--workers share one run, and --seeds are several", expected="one of the two")
    if on_ray and seeds is None and workers is None and resume is None:
        raise UsageError("It is not clear what the cluster shall share", expected="--seeds 0-4, or --workers 2")


def kaggle(
    train_csv: Annotated[Path, typer.Argument(metavar="TRAIN.csv", help="Kaggle's train.csv.")],
    test_csv: Annotated[Path, typer.Argument(metavar="TEST.csv", help="Kaggle's test.csv.")],
    recipe: Annotated[str, typer.Option(help="A bundled recipe, or the path of a TOML file.")] = "fast",
    out: Annotated[Path, typer.Option(help="The submission to write.")] = Path("submission.csv"),
    seed: Seed = None,
    set_: Set = None,
    device: Device = "auto",
    force: Force = False,
    all_rows: Annotated[
        bool, typer.Option("--all-rows", help="Hold nothing out: for the final entry, after a run that measured.")
    ] = False,
) -> None:
    """Train on Kaggle's train.csv, measure on a held-out tenth of it, and answer test.csv.

    Example: inkdigit kaggle train.csv test.csv
    """
    from inkdigit.cli.predict import say_submission

    check_new(out, force=force, reads=[train_csv, test_csv])
    with talk.interruptible():
        began = time.perf_counter()
        with talk.requiring("Training needs"):
            from inkdigit.training.kaggle import kaggle as enter
        entered = enter(
            train_csv,
            test_csv,
            recipe=recipe,
            changes=_changes(set_, seed),
            out=out,
            all_rows=all_rows,
            device=device,
            import_seconds=time.perf_counter() - began,
            progress=not talk.is_quiet(),
            log=talk.note,
        )
    _print_run(entered.run, next_steps=False)
    say_submission(entered.submission)
    talk.next_steps(["head", "-3", str(out)])


def first_run(
    examples: Annotated[
        Path | None,
        typer.Argument(help="The folder of example images; default: examples, or ten digits that are drawn."),
    ] = None,
) -> None:
    """Train `fast` on MNIST, or on scikit-learn's digits if MNIST is missing, and read the example images.

    Example: inkdigit first-run examples
    """
    from inkdigit.cli.predict import predict
    from inkdigit.data.sources import SKLEARN_DIGITS, open_mnist_or_bundled
    from inkdigit.synth.samples import write_digits
    from inkdigit.training.recipe import Recipe

    recipe = Recipe.load("fast")
    with talk.interruptible():
        dataset = open_mnist_or_bundled(log=talk.note)
    run = _train(recipe, Where(), data=dataset)
    _print_run(run, next_steps=False)
    small = dataset.name == SKLEARN_DIGITS  # a model of these few cannot read photographs
    if examples is None and not EXAMPLES.is_dir():
        examples = run.folder.with_name(DRAWN)
        write_digits(examples)
    examples = examples or EXAMPLES
    talk.note(f"\nThe images in {examples}, read by {'the bundled model' if small else 'the new model'}:")
    predict([examples], model="default" if small else str(run.folder))
    talk.next_steps(["inkdigit", "predict", "your-own-picture.jpg"], ["inkdigit", "--help"])


def _is_line(run: str) -> bool:
    """Whether a run directory is one of the line reader."""
    return (Path(run) / LINE_SETTINGS).is_file()


def _train_line(
    resume: str | None, set_: list[str] | None, *, data: str | None, out: Path | None, seed: int | None
) -> None:
    """Train the line reader, or go on with it, and print what it reads."""
    with talk.interruptible(), talk.requiring("Training needs"):
        from inkdigit.training.line.run import parse_settings, resume_line, train_line

        if resume is not None:
            run = resume_line(Path(resume), log=talk.note)
        else:
            run = train_line(parse_settings(set_ or [], data=data, seed=seed), out=out, log=talk.note)
    talk.say(f"Read right  {run.right:,} of {run.n:,} composed lines that trained nothing, every character of them")
    talk.say(f"Model       {run.model}")
    talk.next_steps(
        ["inkdigit", "read", "picture.png", "--model", str(run.folder)], ["inkdigit", "info", str(run.folder)]
    )


def _changes(assignments: list[str] | None, seed: int | None, net: str | None = None) -> dict[str, Any]:
    """The fields that the options change.

    Raises:
        UsageError: --net names the network, and --set changes it.
    """
    from inkdigit.training.recipe import NET_FIELDS, parse_changes

    changes = parse_changes(assignments or [])
    if net is not None and (both := [field for field in changes if field in NET_FIELDS]):
        raise UsageError("--net is all of the network", expected="no --set of its layers", received=", ".join(both))
    return changes if seed is None else {**changes, "seed": seed}


def _train(recipe: Recipe, where: Where, *, data: Dataset | str | None, out: Path | None = None) -> Run:
    """Train one run, with a progress bar."""
    with talk.interruptible():
        began = time.perf_counter()
        with talk.requiring("Training needs"):
            from inkdigit.training.run import train
        seconds = time.perf_counter() - began
        return train(
            recipe,
            data=data,
            net=build_of(where.net),
            log_to=where.log_to,
            out=out,
            device=where.device,
            engine=where.engine,
            address=where.address,
            workers=where.workers,
            import_seconds=seconds,
            log=talk.note,
            progress=not talk.is_quiet(),
        )


def _resume(run: str, where: Where) -> Run:
    """Continue an interrupted run, with a progress bar."""
    with talk.interruptible():
        began = time.perf_counter()
        with talk.requiring("Training needs"):
            from inkdigit.training.run import resume
        seconds = time.perf_counter() - began
        return resume(
            run,
            net=build_of(where.net),
            device=where.device,
            engine=where.engine,
            address=where.address,
            workers=where.workers,
            import_seconds=seconds,
            log=talk.note,
            progress=not talk.is_quiet(),
        )


def _train_seeds(recipe: Recipe, seeds: Sequence[int], where: Where, *, data: str | None, out: Path | None) -> Trained:
    """Train one run for each random seed, with a progress bar."""
    with talk.interruptible():
        began = time.perf_counter()
        with talk.requiring("Training needs"):
            from inkdigit.training.seeds import train_seeds
        seconds = time.perf_counter() - began
        return train_seeds(
            recipe,
            seeds,
            data=data,
            net=build_of(where.net),
            log_to=where.log_to,
            out=out,
            device=where.device,
            engine=where.engine,
            address=where.address,
            import_seconds=seconds,
            log=talk.note,
            progress=not talk.is_quiet(),
        )


def _print_seeds(trained: Trained) -> None:
    """Print the results of the seeds.

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


def _print_run(run: Run, *, next_steps: bool = True) -> None:
    """Print the results of a run, and the likely next commands."""
    report = run.report
    talk.say(talk.reported(report["accuracy"], report["accuracy_ci95"], report["n"], split=report["report_name"]))
    talk.say(f"Trained in  {report['train_seconds']:.1f} s")
    talk.say(f"Model       {model_path(run.folder)}")
    talk.say(f"Report      {run.folder / PAGE}")
    if report["report_name"] == "train":
        talk.note("Nothing was held out: these images trained the model. The figure does not say how it reads others.")
    if next_steps:
        folder = str(run.folder)
        step = submission_step(report["environment"].get("argv", []), run.folder, kaggle=kaggle)
        logged = report["environment"].get("logged", {})
        talk.next_steps(
            *([] if step is None else [step]),
            ["inkdigit", "predict", "picture.png", "--model", folder],
            ["inkdigit", "evaluate", folder, "--data", report["recipe"]["data"]],
            ["inkdigit", "info", folder],
            *([["tensorboard", "--logdir", folder]] if "tensorboard" in logged else []),
        )
