"""A batch: any number of pictures → a folder of Parquet files, each picture exactly once.

In: folders, lists, shards or tables of pictures; a model. Out: OUT with a manifest and the parts that it lists. A part
is whole or absent; the same command again does what is missing. The engine does not matter to the rows: a part and the
model decide them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from inkdigit.errors import EngineError, OutputError, UsageError, did_you_mean
from inkdigit.files import locked, writing
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.photo import network as ink
from inkdigit.picture.prepare import VERSION as PREPARE_VERSION
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import VERSION as VIEW_VERSION
from inkdigit.scale.engine import Engine, Work, check_engine, open_engine
from inkdigit.scale.listing import list_inputs
from inkdigit.scale.manifest import Done, Manifest, Writer, begun, check_same
from inkdigit.scale.rows import BATCH, TASKS, Finished, Job, Options, Worker
from inkdigit.scale.storage import S3, Place, require_pyarrow, text_of
from inkdigit.types import Log, check_functions, silent

PART_ROWS = 4096  # pictures of a part: a second of digits, or minutes of large photos
MAX_PART_ROWS = 1_000_000
MAX_WORKERS = 100_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: pictures, those that are done, and those of them that this call did."""

    rows: int
    done: int
    now: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A finished job. `done` are the parts that this call did, `parts` all of them."""

    out: Path
    rows: int
    errors: int
    refused: int
    skipped: int
    parts: int
    done: int


OnProgress = Callable[[Progress], None]


def batch(
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    task: str = "predict",
    model: str | Path = "default",
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    batch: int = BATCH,
    part_rows: int | None = None,
    column: str | None = None,
    accept_all: bool = False,
    expect: str | None = None,
    alphabet: str | None = None,
    log: Log = silent,
    on_progress: OnProgress | None = None,
) -> Batch:
    """Predict, or read, every picture of `inputs`; write rows to Parquet files in the folder `out`.

    If `out` holds the same job, it goes on with what is missing. A picture that cannot be read is a row with its error.
    `workers` are processes, by default one a core of this machine, or of the cluster at `address`.
    Workers are separate processes: a script that calls this needs `if __name__ == "__main__":`.

    Raises:
        UsageError: an input, option or engine that there is not; another command is at work in `out`.
        MissingExtra: pyarrow, or Ray, is not installed.
        DataError: an input cannot be read, is damaged, or has changed since it was listed.
        ModelFileError: the model cannot be used.
        EngineError: there is no such cluster, or processes die again and again.
        OutputError: `out` holds something else or cannot be written.
    """
    check_functions(log=log, on_progress=on_progress)
    check_engine(engine, address)
    places = [Place.of(str(word)) for word in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    target = _check(places, str(out), task=task, workers=workers, batch=batch, part_rows=part_rows)
    options, about = _options(
        places, task, model, batch=batch, column=column, accept_all=accept_all, expect=expect, alphabet=alphabet
    )
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
    with locked(target, "batch"):
        manifest = _manifest(target, places, about, part_rows, log=log)
        if finished := manifest.finished():
            log(f"Going on: {len(finished):,} of {manifest.parts:,} parts are finished.")
        before = len(finished)
        if before < manifest.parts:
            with open_engine(engine, workers=workers, address=address) as opened:
                _run(manifest, opened, options, finished, on_progress=on_progress)
            if len(finished) != manifest.parts:
                raise EngineError("Parts of the job are missing", expected=manifest.parts, received=len(finished))
    return Batch(
        target,
        rows=sum(done.rows for done in finished.values()),
        errors=sum(done.errors for done in finished.values()),
        refused=sum(done.refused for done in finished.values()),
        skipped=manifest.skipped,
        parts=manifest.parts,
        done=manifest.parts - before,
    )


def _check(
    places: Sequence[Place], out: str, *, task: str, workers: int | None, batch: int, part_rows: int | None
) -> Path:
    """Check what needs no file; the folder of the results."""
    require_pyarrow()
    if task not in TASKS:
        raise UsageError(f"There is no task {task!r}", expected=" or ".join(TASKS), hint=did_you_mean(task, TASKS))
    if not places:
        raise UsageError("There is no input", expected="a folder, files or shards")
    for name, value, most in (
        ("workers", workers, MAX_WORKERS),
        ("batch", batch, MAX_PART_ROWS),
        ("part_rows", part_rows, MAX_PART_ROWS),
    ):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{name} is out of range", expected=f"1 to {most:,}", received=value)
    if out.startswith(S3):
        raise OutputError("OUT must be a folder of this machine", received=out)
    return Path(out)


def _options(
    places: Sequence[Place], task: Any, model: str | Path, *, batch: int, **more: Any
) -> tuple[Options, dict[str, Any]]:
    """What the workers need to know, and what all calls of the job have in common.

    Raises:
        UsageError: a model of the other task, or a pattern that no number fits.
    """
    loaded: Recognizer | Reader
    if task == "read":
        loaded = Reader.load(model)
        loaded.pattern(more["expect"], more["alphabet"])
        if more["accept_all"]:
            raise UsageError("Reading has no accept_all", expected="the task predict")
    else:
        loaded = Recognizer.load(model)
        if more["expect"] is not None or more["alphabet"] is not None:
            raise UsageError("Single digits have no pattern and no alphabet", expected="the task read")
    content = loaded.path.read_bytes()
    options = Options(task, content, batch=batch, **more)
    about = {
        "inkdigit": version("inkdigit"),
        "task": task,
        "model": loaded.card.name,
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "preprocessing": {"prepare": PREPARE_VERSION, "ink": ink.VERSION, "view": VIEW_VERSION},
        "inputs": [text_of(place) for place in places],
        **more,
    }
    return options, about


def _manifest(
    out: Path, places: Sequence[Place], about: dict[str, Any], part_rows: int | None, *, log: Log
) -> Manifest:
    """The manifest of the job that was begun in OUT, or a new one.

    Raises:
        OutputError: OUT holds another job, or something else.
    """
    manifest = begun(out)
    if manifest is not None:
        rows = manifest.about.get("part_rows", PART_ROWS) if part_rows is None else part_rows
        check_same(manifest, {**about, "part_rows": rows})
        return manifest
    rows = part_rows or PART_ROWS
    writer = Writer(out)
    try:
        list_inputs(places, writer, rows=rows, column=about["column"])
        manifest = writer.finish({**about, "part_rows": rows})
    finally:
        writer.close()
    parts = "1 part" if manifest.parts == 1 else f"{manifest.parts:,} parts"
    log(f"Listed {manifest.rows:,} pictures in {parts}.")
    return manifest


def _run(
    manifest: Manifest,
    engine: Engine,
    options: Options,
    finished: dict[int, Done],
    *,
    on_progress: OnProgress | None,
) -> None:
    """Do the parts that are missing; add each to `finished` when its file is there."""
    before = sum(done.rows for done in finished.values())
    now = 0
    try:
        for done in do_missing(manifest, engine, partial(Worker, options), finished=frozenset(finished)):
            finished[done.part] = done
            now += done.rows
            if on_progress is not None:
                on_progress(Progress(manifest.rows, before + now, now))
    except KeyboardInterrupt as exc:
        stopped = f"Stopped after {len(finished):,} of {manifest.parts:,} parts"
        raise KeyboardInterrupt(f"{stopped}. Go on with: the same command") from exc


def do_missing(
    manifest: Manifest, engine: Engine, make: Callable[[], Work[Job, Finished]], *, finished: Container[int]
) -> Iterator[Done]:
    """Have the parts that are not `finished` done, and store each as it comes."""
    missing = (part for part in manifest.each_part() if part.number not in finished)
    jobs = (Job(part, manifest.names(part) if part.kind == "files" else ()) for part in missing)
    with closing(engine.run(make, jobs)) as results:
        for job, result in results:
            yield manifest.store(job.part, result.data, rows=result.rows, errors=result.errors, refused=result.refused)
