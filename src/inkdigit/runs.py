"""The run directory: what a training run leaves behind, and the one way in which Inkdigit writes a file.

In: a recipe's name and a seed, or the text by which a user means a run. Out: paths, and files that are whole or absent.

    runs/20261120-101502-fast-s0/     recipe.toml · metrics.csv · model.onnx · report.html · … · DONE (last)
"""

from __future__ import annotations

import errno
import io
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import chain, count, islice
from pathlib import Path

from inkdigit.errors import MalformedFile, OutputError, UsageError
from inkdigit.lock import LOCK, check_unlocked, forget
from inkdigit.parsing import read_bytes

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
SEEDS = "seeds.json"  # beside runs that differ in their seed alone: what they come to together
MAX_ROWS, MAX_ROWS_BYTES = 1_000_000, 2**27  # of a CSV: there is a row every twenty steps
MAX_LABEL_BYTES = 180  # of a directory's name, which has room for 255 with date and number
OWN = {RECIPE, METRICS, MODEL, PREDICTIONS, ENVIRONMENT, STEPS, REPORT, PAGE, DONE}

_CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission to write there",
    errno.EPERM: "no permission to write there",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "it is a directory",
    errno.ENOTEMPTY: "it is not empty",
    errno.EEXIST: "a file of that name is in the way",
    errno.ENOENT: "its folder does not exist",
    errno.ENOTDIR: "what should be its folder is a file",
    errno.ENAMETOOLONG: "the name is too long",
}


def create(recipe_name: str, *, seed: int, out: Path | None = None, root: Path = ROOT) -> Path:
    """Make the directory of a new run: `out` itself, else `root/<date>-<time>-<recipe>-s<seed>`.

    A name under `root` that is taken gets -2, -3. `out` must not exist, or be an empty directory.

    Raises:
        UsageError: somebody is at work in `out`.
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


@contextmanager
def made_aside(out: Path) -> Iterator[Path]:
    """A folder beside `out` to fill, which becomes `out` at the end: it is there whole or not at all.

    Raises:
        OutputError: `out` is taken, before or when it is filled; or it cannot be made.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            check_free(out)
        aside = out.resolve().with_name(f".{secrets.token_hex(6)}.part")
        aside.mkdir()
    try:
        yield aside
        aside.rename(out)  # onto an empty directory too, but onto nothing else
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _make(run: Path) -> bool:
    # mkdir asks and takes in one step: two runs that start in the same second never share a directory.
    try:
        run.mkdir()
    except FileExistsError:
        return False
    return True


def check_free(out: Path) -> None:
    """Refuse a directory that holds something; for who is alone in it (see `lock`) that is then certain.

    Raises:
        OutputError: it does.
    """
    with writing(out):
        entry = first_entry(out)
    if entry is not None:
        expected, received = "a new name, or an empty directory", f"a directory that holds {entry.name}"
        hint = "Choose another name: nothing is overwritten."
        raise OutputError(f"{out} is taken", expected=expected, received=received, hint=hint)


def first_entry(folder: Path) -> Path | None:
    """Something that a directory holds; a lock, which a run that did not begin may leave, is nothing."""
    return next((entry for entry in folder.iterdir() if entry.name != LOCK), None)


def finish(run: Path) -> None:
    """Mark `run` as finished: DONE, with the time, is the last file that is written, and only then the lock goes.

    Raises:
        OutputError: DONE cannot be written.
    """
    write_aside(run / DONE, f"{datetime.now():%Y-%m-%d %H:%M:%S}\n")
    forget(run)


def is_finished(run: Path) -> bool:
    """Whether the run came to its end."""
    return (run / DONE).is_file()


def model_path(run: Path) -> Path:
    """Where the model file of `run` is, or will be."""
    return run / MODEL


def list_runs(root: Path = ROOT) -> list[Path]:
    """The runs under `root`, finished or not, oldest first: the directories that hold a recipe."""
    recipes = [(recipe.stat().st_mtime_ns, recipe) for recipe in root.glob(f"*/{RECIPE}") if recipe.is_file()]
    return [recipe.parent for _, recipe in sorted(recipes)]


def find(text: str | Path, *, root: Path = ROOT) -> Path:
    """The run that `text` means: its directory, its name under `root`, or a part of the name that no other run has.

    Raises:
        UsageError: no run, or more than one, goes by that name.
    """
    with looking_up(text):
        for run in (Path(text), root / text):
            if (run / RECIPE).is_file():
                return run
    known = list_runs(root)
    matches = [run for run in known if str(text) in run.name]
    if len(matches) == 1:
        return matches[0]
    raise UsageError(
        f"{'More than one run is' if matches else 'There is no run'} called {str(text)!r}",
        expected=f"a run directory (it holds {RECIPE}), or a part of one name under {root}/",
        received=", ".join(run.name for run in matches[-5:]) or str(text),
        hint=f"The latest run is {known[-1]}." if known else f"There are no runs under {root}/ yet.",
    )


def find_seeds(text: str | Path, *, root: Path = ROOT) -> Path | None:
    """The folder with a seeds.json that `text` means, by its path, or by its name under `root` or a part of it.

    A part of a name means a run where it can, so that None is the answer there too.

    Raises:
        UsageError: the text can be no name.
    """
    with looking_up(text):
        for folder in (Path(text), root / text):
            if (folder / RECIPE).is_file():
                return None
            if (folder / SEEDS).is_file():
                return folder
    matches = [found.parent for found in sorted(root.glob(f"*/{SEEDS}")) if str(text) in found.parent.name]
    is_run = sum(str(text) in run.name for run in list_runs(root)) == 1
    return matches[0] if len(matches) == 1 and not is_run else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what goes wrong while `path` is written, by us or by a library.

    Raises:
        OutputError: in place of any OSError inside the block.
    """
    try:
        yield
    except OSError as exc:
        problem = f"{path} cannot be written: {_CAUSES.get(exc.errno or 0, exc.strerror or str(exc))}"
        raise OutputError(problem, hint="Put that right, or choose another place.") from exc


def check_place(out: Path, *, reads: Iterable[Path] = ()) -> None:
    """Fail before the work where writing `out` would fail after it, or would replace what the work `reads`.

    Nothing is left at `out`. What a run directory holds of itself is not replaced either.

    Raises:
        OutputError: no such folder, no permission, a directory, a file that is read, or a file of a run.
    """
    import tempfile  # answering pictures does without

    with writing(out):
        if out.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if not out.exists() or out.is_file():
            tempfile.TemporaryFile(dir=out.resolve().parent).close()
    if not out.is_file():
        return
    if any(read.exists() and out.samefile(read) for read in reads):
        raise OutputError(f"{out} is a file that is read", expected="another name")
    if out.name in OWN and (out.resolve().parent / RECIPE).is_file():
        raise OutputError(f"{out} belongs to a run", expected="another name: a run stays as it was made")


@contextmanager
def looking_up(name: object) -> Iterator[None]:
    """Translate what goes wrong while a name that a user gave is looked for: too long, no permission, a NUL in it.

    Raises:
        UsageError: in place of any OSError or ValueError inside the block.
    """
    try:
        yield
    except (OSError, ValueError) as exc:
        raise UsageError(f"{str(name)[:80]!r} cannot be looked up ({getattr(exc, 'strerror', None) or exc})") from exc


def write_aside(path: Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) under a temporary name in the same folder, then rename it to `path`.

    Whoever looks sees the old file or the new one, whole. A link is followed; a pipe or device is written straight.

    Raises:
        OutputError: disk full, no permission, no such folder, or `path` is a directory.
    """
    content = data.encode() if isinstance(data, str) else data
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a directory")
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = Path(os.path.realpath(path))
        aside = target.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def append_row(path: Path, row: Mapping[str, float | None]) -> None:
    """Add one row to a CSV, the header before the first; None becomes an empty cell.

    Raises:
        OutputError: the row cannot be written.
    """
    cells = ",".join("" if value is None else str(value) for value in row.values())
    with writing(path), path.open("a", encoding="utf-8", newline="") as file:
        header = "" if file.tell() else f"{','.join(row)}\n"
        file.write(f"{header}{cells}\n")


def read_rows(path: Path) -> list[dict[str, float]]:
    """The rows of a CSV of numbers, an empty cell as nan; no file, no rows.

    A last line without its newline was being written when the run was stopped, and does not count.

    Raises:
        MalformedFile: a cell is not a number, a row has too few or too many cells, or there are too many rows.
    """
    lines = _whole_lines(path)
    header = next(lines, "").split(",")
    rows = []
    for number, line in enumerate(lines, start=2):
        cells = line.split(",", len(header))
        try:
            rows.append({name: float(cell) if cell else math.nan for name, cell in zip(header, cells, strict=True)})
        except ValueError as exc:
            problem, wanted = "a row of figures that cannot be read", ", ".join(header)[:200]
            expected = f"{len(header)} numbers ({wanted})"
            raise MalformedFile(path, problem, where=f"line {number}", expected=expected, received=line[:200]) from exc
        if len(rows) > MAX_ROWS:
            raise MalformedFile(path, f"there are more than {MAX_ROWS:,} rows")
    return rows


def truncate_rows(path: Path, keep: int) -> None:
    """Keep the header and the first `keep` rows, as a resumed run needs; of no rows nothing is kept.

    Raises:
        MalformedFile: the file cannot be read.
        OutputError: the file cannot be written.
    """
    if path.is_file():
        lines = islice(_whole_lines(path), keep + 1 if keep else 0)
        write_aside(path, "".join(f"{line}\n" for line in lines))


def _whole_lines(path: Path) -> Iterator[str]:
    if not path.is_file():
        return
    try:
        data = read_bytes(path, max_bytes=MAX_ROWS_BYTES)
    except (OSError, ValueError) as exc:
        raise MalformedFile(path, f"the rows cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc
    for line in io.BytesIO(data):
        if line.endswith(b"\n"):
            yield line.decode(errors="replace").rstrip("\r\n")
