"""Run directories: their names and files, and how one is made, looked up and finished.

In: the name of a recipe and a random seed, or a text that names a run. Out: paths.

    runs/20261120-101502-fast-s0/     recipe.toml · metrics.csv · model.onnx · report.html · … · DONE (last)
"""

from __future__ import annotations

import errno
import logging
import re
from collections.abc import Iterable
from datetime import datetime
from itertools import chain, count
from pathlib import Path

from inkdigit.errors import OutputError, UsageError
from inkdigit.files import check_free, check_unlocked, first_entry, looking_up, remove_lock, write_atomic, writing

LOG = logging.getLogger(__name__)
ROOT = Path("runs")
RECIPE = "recipe.toml"
METRICS = "metrics.csv"
MODEL = "model.onnx"
PREDICTIONS = "predictions.npz"
ENVIRONMENT = "env.json"
STEPS = "steps.csv"
REPORT = "report.json"
PAGE = "report.html"
DONE = "DONE"
# Of the training of a line reader: how it was begun, its checkpoint, its losses.
LINE_SETTINGS, LINE_CHECKPOINT, LINE_LOSSES = "line.json", "line.safetensors", "log.csv"
SEEDS = "seeds.json"  # the results of several runs together, which differ only in their random seed
MAX_LABEL_BYTES = 180  # of a directory name: file systems allow 255, and date and number need some
OWN = {RECIPE, METRICS, MODEL, PREDICTIONS, ENVIRONMENT, STEPS, REPORT, PAGE, DONE}
OWN |= {LINE_SETTINGS, LINE_CHECKPOINT, LINE_LOSSES}


def create(recipe_name: str, *, seed: int, out: Path | None = None, root: Path = ROOT) -> Path:
    """Make the directory of a new run: `out` itself, else `root/<date>-<time>-<recipe>-s<seed>`.

    A name under `root` that is taken gets -2, -3. `out` must not exist, or be an empty directory.

    Raises:
        UsageError: another command is at work in `out`.
        OutputError: `out` is taken, or the directory cannot be made.
    """
    if out is None:
        return create_named(f"{recipe_name}-s{seed}", root=root)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if first_entry(out) is not None:
            check_unlocked(out)
    check_free(out)
    return out


def create_named(label: str, *, root: Path = ROOT) -> Path:
    """Make `root/<date>-<time>-<label>`; a name that is taken gets -2, -3.

    Raises:
        OutputError: the directory cannot be made.
    """
    words = re.sub(r"[^\w.-]+", "-", label).encode()[:MAX_LABEL_BYTES].decode(errors="ignore")
    name = f"{datetime.now():%Y%m%d-%H%M%S}-{words}"
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        names = chain([name], (f"{name}-{number}" for number in count(2)))
        return next(root / free for free in names if _make(root / free))


def _make(run: Path) -> bool:
    # mkdir is one step: two runs that start in the same second never share a directory.
    try:
        run.mkdir()
    except FileExistsError:
        return False
    return True


def finish(run: Path) -> None:
    """Mark `run` as finished: DONE, with the time, is the last file, and the lock is removed after it.

    Raises:
        OutputError: DONE cannot be written.
    """
    write_atomic(run / DONE, f"{datetime.now():%Y-%m-%d %H:%M:%S}\n")
    remove_lock(run)


def is_finished(run: Path) -> bool:
    """Whether the run is complete."""
    return (run / DONE).is_file()


def model_path(run: Path) -> Path:
    """The path of the model file of `run`, even before it exists."""
    return run / MODEL


def list_runs(root: Path = ROOT) -> list[Path]:
    """The runs under `root`, finished or not, oldest first: the directories that hold a recipe."""
    recipes = [(recipe.stat().st_mtime_ns, recipe) for recipe in root.glob(f"*/{RECIPE}") if recipe.is_file()]
    return [recipe.parent for _, recipe in sorted(recipes)]


def find(text: str | Path, *, root: Path = ROOT, finished: bool = False) -> Path:
    """The run that `text` names: its directory, its name under `root`, or a part of its name.

    Of several runs of the same recipe and random seed the newest is taken, and the log of the library says so; with
    `finished` one that is, if there is any.

    Raises:
        UsageError: no run has that name, or runs of several recipes or random seeds have it.
    """
    with looking_up(text):
        for run in (Path(text), root / text):
            if (run / RECIPE).is_file():
                return run
    known = list_runs(root)
    matches = _called(str(text), known)
    if matches and len({label_of(run) for run in matches}) == 1:
        if finished:
            matches = [run for run in matches if is_finished(run)] or matches
        if len(matches) > 1:
            LOG.warning("%d runs are called %s: the newest is taken, %s", len(matches), text, matches[-1])
        return matches[-1]
    raise UsageError(
        f"{'More than one run is' if matches else 'There is no run'} called {str(text)!r}",
        expected=f"a run directory (it holds {RECIPE}), or a part of one name under {root}/",
        received=", ".join(run.name for run in matches[-5:]) or str(text),
        hint=f"The latest run is {known[-1]}." if known else f"There are no runs under {root}/ yet.",
    )


def label_of(run: Path) -> str:
    """Recipe and random seed in the name of a run: 20261120-101502-fast-s0-2 → fast-s0."""
    found = re.fullmatch(r"\d{8}-\d{6}-(.+?-s\d+)(-\d+)?", run.name)
    return found[1] if found else run.name


def _called(text: str, known: list[Path]) -> list[Path]:
    """The runs whose recipe and seed are `text`; if there are none, those with `text` as a part of their name."""
    return [run for run in known if label_of(run) == text] or [run for run in known if text in run.name]


def is_called(text: str, *, root: Path = ROOT) -> bool:
    """Whether `find` has a run for `text` under `root`."""
    return len({label_of(run) for run in _called(text, list_runs(root))}) == 1


def find_seeds(text: str | Path, *, root: Path = ROOT) -> Path | None:
    """The folder with a seeds.json that `text` names: its path, or its name under `root` or a part of it.

    A part of a name that names a run comes first: the result is None then, too.

    Raises:
        UsageError: the text cannot be a file name.
    """
    with looking_up(text):
        for folder in (Path(text), root / text):
            if (folder / RECIPE).is_file():
                return None
            if (folder / SEEDS).is_file():
                return folder
    matches = [path.parent for path in sorted(root.glob(f"*/{SEEDS}")) if str(text) in path.parent.name]
    return matches[0] if len(matches) == 1 and not is_called(str(text), root=root) else None


def check_place(out: Path, *, reads: Iterable[Path] = ()) -> None:
    """Check before some work that `out` can be written after it, and that this does not replace what the work `reads`.

    Nothing is left at `out`. The files of a run directory are not replaced, either.

    Raises:
        OutputError: no such folder, no permission, a directory, a file that is read, or a file of a run.
    """
    import tempfile  # answering does not need it

    with writing(out):
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not out.exists() or out.is_file():
            tempfile.TemporaryFile(dir=out.resolve().parent).close()
    if not out.is_file():
        return
    if any(read.exists() and out.samefile(read) for read in reads):
        raise OutputError(f"{out} is a file that is read", expected="another name")
    if out.name in OWN and any((out.resolve().parent / begun).is_file() for begun in (RECIPE, LINE_SETTINGS)):
        raise OutputError(f"{out} belongs to a run", expected="another name: the files of a run do not change")
