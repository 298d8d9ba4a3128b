"""One training of the line reader: its run directory, from the settings to the model file.

In: a data set of digits, and how many lines are composed and how often each is seen. Out: a `LineRun`; the directory
holds the settings, the composed lines, the checkpoint, the losses and at the end the model file. A training that was
interrupted goes on from what is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from inkdigit.data.sources import open_data
from inkdigit.errors import UsageError, did_you_mean
from inkdigit.files import check_free, locked, write_atomic
from inkdigit.model.provenance import ModelFile, Provenance
from inkdigit.parsing import parse_json, read_text
from inkdigit.reading import ctc
from inkdigit.reading.reader import Reader
from inkdigit.runs import LINE_SETTINGS, create, finish, is_finished, model_path
from inkdigit.synth.generated import check_digits
from inkdigit.training.environment import data_of, describe
from inkdigit.training.line.average import between
from inkdigit.training.line.export import export
from inkdigit.training.line.pools import POOL, fill, read
from inkdigit.training.line.start import net_of
from inkdigit.training.line.train import steps_of, train
from inkdigit.types import ALPHABET, Dataset, Log, silent

NAME = "line"
MAX_LINES, MAX_EPOCHS = 1_000_000, 10_000  # a million lines are 20 GB of memory
MAX_DIGITS = 12  # of a number that is given


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides a training."""

    data: str = "mnist"  # SOURCE of the digits that are written
    lines: int = 80_000  # that are composed; a pool of them trains nothing
    epochs: int = 12  # how often each line is seen
    seed: int = 0
    start: str | None = None  # the reader that it begins with: a bundled name, a run directory or a file

    def __post_init__(self) -> None:
        """Check the types and limits. Raises UsageError."""
        if not isinstance(self.data, str) or not isinstance(self.seed, int):
            raise UsageError("data is a text, and seed a whole number")
        if not (self.start is None or isinstance(self.start, str)):
            raise UsageError("start is the name or the path of a line reader")
        for name, value, most in (("lines", self.lines, MAX_LINES), ("epochs", self.epochs, MAX_EPOCHS)):
            if not isinstance(value, int) or not 1 <= value <= most:
                raise UsageError(f"{name} is out of range", expected=f"1 to {most:,}", received=value)


@dataclass(frozen=True, slots=True)
class LineRun:
    """A finished training."""

    folder: Path
    n: int  # composed lines that trained nothing
    right: int  # of them: every character is read as it was written

    @property
    def model(self) -> Path:
        """The model file."""
        return model_path(self.folder)


def train_line(settings: Settings, *, out: Path | None = None, log: Log = silent) -> LineRun:
    """Compose lines, train the reader on them, and write its model file, in a new run directory.

    Raises:
        UsageError: the data set does not hold digits, or there is no such reader to begin with.
        DataError: it cannot be opened.
        OutputError: `out` is taken.
        ParityError: the exported file does not read what the network does.
    """
    dataset, base = open_data(settings.data, log=log), _base(settings)
    check_digits(dataset)
    folder = create(NAME, seed=settings.seed, out=out)
    with locked(folder, "training"):
        check_free(folder)
        write_atomic(folder / LINE_SETTINGS, json.dumps(asdict(settings), indent=1).encode())
        return _go_on(settings, dataset, base, folder, log)


def resume_line(folder: Path, *, log: Log = silent) -> LineRun:
    """Go on with a training that was interrupted: what is in its directory is not done again.

    Raises:
        UsageError: it is not a training of the line reader, or a finished one.
        DataError, ParityError: as `train_line`.
    """
    settings = settings_of(folder)
    if settings is None or is_finished(folder):
        what = "is not a training of the line reader" if settings is None else "is finished"
        raise UsageError(f"{folder} {what}", expected="an interrupted run")
    with locked(folder, "training"):
        return _go_on(settings, open_data(settings.data, log=log), _base(settings), folder, log)


def _base(settings: Settings) -> Reader | None:
    """The reader that a training begins with."""
    return None if settings.start is None else Reader.load(settings.start)


def _go_on(settings: Settings, dataset: Dataset, base: Reader | None, folder: Path, log: Log) -> LineRun:
    pools = 1 - (-settings.lines // POOL)
    held_out, *some = map(read, fill(dataset.train, folder, pools=pools, seed=settings.seed, log=log))
    torch.manual_seed(settings.seed)  # of layers that the base lacks
    start = None if base is None else net_of(base.path, some[0])
    steps = settings.epochs * steps_of(some)
    net = train(some, folder, steps=steps, seed=settings.seed, start=deepcopy(start), log=log)
    if start is not None:
        net = between(start, net, pool=some[0], held_out=held_out, log=log)
    data, about = (
        data_of(dataset, trained=len(dataset.train)),
        describe(dataset, source=settings.data, device=torch.device("cpu")),
    )
    provenance = Provenance(
        data=data,
        seed=settings.seed,
        drawn=f"{len(some) * POOL:,} composed lines" + (f", after {base.card.provenance.drawn}" if base else ""),
        made_from=() if base is None else (ModelFile.of(base.path),),
        created=about["started"],
        commit=about["commit"],
        libraries=about["libraries"],
        saw_mnist=data.holds_mnist or (base is not None and base.card.provenance.saw_mnist),
    )
    path = model_path(folder)
    write_atomic(path, export(net, held_out, name=NAME, provenance=provenance))
    reader = Reader.load(path)
    decoded = [ctc.decode(reader.log_probs(seen[None])[0], ALPHABET) for seen in held_out.each()]
    right = sum(one is not None and one.text == text for one, text in zip(decoded, held_out.texts, strict=True))
    finish(folder)
    return LineRun(folder, len(held_out.texts), right)


def parse_settings(assignments: Sequence[str], *, data: str | None = None, seed: int | None = None) -> Settings:
    """The settings that `KEY=VALUE` texts change.

    Raises:
        UsageError: an unknown key, or a value that is no whole number.
    """
    given: dict[str, Any] = {} if data is None else {"data": data}
    given |= {} if seed is None else {"seed": seed}
    known = [field.name for field in fields(Settings) if field.name != "data"]
    for assignment in assignments:
        key, _, value = assignment.partition("=")
        if key not in known:
            raise UsageError(
                f"The line reader has no setting {key!r}", expected=", ".join(known), hint=did_you_mean(key, known)
            )
        if key == "start":
            given[key] = value
            continue
        if not (value.isascii() and value.isdigit() and len(value) < MAX_DIGITS):
            raise UsageError(f"{key} is not a whole number", received=repr(value[:80]))
        given[key] = int(value)
    return Settings(**given)


def settings_of(folder: Path) -> Settings | None:
    """The settings of a folder; None if it is not one of a training of the line reader."""
    try:
        return Settings(**parse_json(read_text(folder / LINE_SETTINGS)))
    except (OSError, ValueError, TypeError, UsageError):
        return None
