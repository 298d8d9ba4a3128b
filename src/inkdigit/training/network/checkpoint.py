"""A training state on disk: tensors as safetensors, the rest as JSON; nothing that could run code.

In and out: `State` ⇄ `checkpoint/` in the run directory, written aside and renamed after each epoch. The previous one
stays until the run is finished: if the newest is damaged, the run continues from there. A checkpoint has a checksum,
and is compared with the network and the optimizer of the run before any number of it is used.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from inkdigit.errors import DataError, UsageError, reason_of
from inkdigit.files import write_atomic, writing
from inkdigit.parsing import parse_json, read_bytes
from inkdigit.training.network.loop import State, layout, make_optimizer, start
from inkdigit.training.recipe import EXTERNAL, Recipe
from inkdigit.types import Log, silent

FILE = "checkpoint/state.safetensors"
PREVIOUS = "checkpoint/previous.safetensors"
COUNTERS = ("best_value", "epochs_since_best", "plateau_scale", "plateau_epochs", "epoch", "step", "stopped")
METADATA = "__metadata__"  # where safetensors has texts in its header
OURS = "inkdigit"  # the name of our text there
UNSIGNED = "0" * 64  # in the place of the checksum while it is computed
LENGTH_BYTES = 8  # safetensors begins with the length of its header
MAX_HEADER_BYTES = 2**22  # ours have a hundred bytes per tensor, and networks at most some thousand tensors
TYPES = {  # of the tensors in networks and optimizers; ours have the first two, a user's may have the others
    "F32": torch.float32,
    "I64": torch.int64,
    "F64": torch.float64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
MAX_STEPS = 2**53  # whole numbers up to here are exact in the CSV's floats


class Header(BaseModel):
    """The counters of a checkpoint, beside its tensors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    best_value: float = Field(gt=-math.inf)  # infinite before the first epoch is validated
    epochs_since_best: int = Field(ge=0)
    plateau_scale: float = Field(ge=0, le=1)
    plateau_epochs: int = Field(ge=0)
    epoch: int = Field(ge=0)
    step: int = Field(ge=0, le=MAX_STEPS)
    stopped: bool
    optimizer: dict[str, float]  # its numbers that are not tensors; today's PyTorch has none
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")  # of the whole file; older ones have none

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        steps_fit = self.step % self.epoch == 0 and self.step > 0 if self.epoch else self.step == 0
        if not steps_fit or max(self.epochs_since_best, self.plateau_epochs) > self.epoch:
            raise ValueError("its counters do not fit together")
        return self


@dataclass(frozen=True, slots=True)
class _Expected:
    """The content that a checkpoint of one network may hold: name → a tensor of the same shape and type."""

    weights: dict[str, Tensor]  # of the network, and of its average where the recipe averages
    best: dict[str, Tensor]  # once there is a best epoch
    optimizer: dict[str, Tensor]  # from the first step on
    complete: bool  # whether the optimizer has moved every weight: of a user's network some may not have been used yet
    scalars: frozenset[str]

    @property
    def max_bytes(self) -> int:
        """The largest size that such a file can have."""
        tensors = [*self.weights.values(), *self.best.values(), *self.optimizer.values()]
        return LENGTH_BYTES + MAX_HEADER_BYTES + sum(tensor.nbytes for tensor in tensors)


def write(run: Path, state: State) -> None:
    """Write the state as one file, counters in its header; the previous file stays until this one is complete.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for group, weights in (("net", state.net.state_dict()), ("average", state.average), ("best", state.best)):
        tensors.update({f"{group}/{name}": value for name, value in (weights or {}).items()})
    slots, scalars = _contents(state.optimizer)
    header = {name: getattr(state, name) for name in COUNTERS} | {"optimizer": scalars, "sha256": UNSIGNED}
    plain = torch.contiguous_format  # a copy, because weights may share memory, which safetensors refuses
    flat = {name: value.detach().cpu().clone(memory_format=plain) for name, value in (tensors | slots).items()}
    data = save(flat, {OURS: json.dumps(header)})
    with writing(run / FILE):
        (run / FILE).parent.mkdir(exist_ok=True)
        if (run / FILE).is_file():
            (run / FILE).replace(run / PREVIOUS)  # from here on, until the rename below, this is the last good one
    write_atomic(run / FILE, data.replace(UNSIGNED.encode(), checksum(data, UNSIGNED).encode(), 1))


def exists(run: Path) -> bool:
    """Whether a run has a checkpoint to continue from."""
    return any((run / name).is_file() for name in (FILE, PREVIOUS))


def forget_previous(run: Path) -> None:
    """Remove the checkpoint before the last one, which a finished run does not need.

    Raises:
        OutputError: it cannot be removed.
    """
    with writing(run / PREVIOUS):
        (run / PREVIOUS).unlink(missing_ok=True)


def read(run: Path, net: nn.Sequential, recipe: Recipe, *, device: torch.device, log: Log = silent) -> State:
    """Read the last good state of a run into a freshly built network on `device`; that state becomes the newest.

    Raises:
        UsageError: the run has no checkpoint.
        DataError: every checkpoint is damaged, or the last good one is of another recipe.
    """
    if not exists(run):
        raise UsageError(f"{run} has no checkpoint to continue from", hint="Train it again.")
    expected = _expect(net, recipe)
    damaged = ""  # what is wrong with the newest file, if anything
    for path in (run / FILE, run / PREVIOUS):
        if not path.is_file():  # a run may have been killed between two renames
            continue
        try:
            header, tensors = _open(path, expected)
        except (OSError, ValueError, SafetensorError) as exc:
            damaged = damaged or f"{path}: the checkpoint is damaged ({_short(exc)})"
            continue
        if damaged:
            log(f"{damaged}; the last good one is {path} of epoch {header.epoch}.")
        if path != run / FILE:
            with writing(path):
                path.replace(run / FILE)
        return _fill(net, recipe, header, tensors, device)
    raise DataError(f"{damaged}, and there is no good one before it", hint="Train the run again.")


def _expect(net: nn.Sequential, recipe: Recipe) -> _Expected:
    """What a checkpoint of this network holds; a copy makes one step with gradients of 0 to fill its optimizer."""
    weights = net.state_dict()
    twin = copy.deepcopy(net)
    optimizer = make_optimizer(twin, recipe)
    for parameter in twin.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    slots, scalars = _contents(optimizer)
    groups = ("net", "average") if recipe.ema_decay else ("net",)
    return _Expected(
        weights={f"{group}/{name}": value for group in groups for name, value in weights.items()},
        best={f"best/{name}": value for name, value in weights.items()} if recipe.keep == "best" else {},
        optimizer=slots,
        complete=recipe.net != EXTERNAL,
        scalars=frozenset(scalars),
    )


def _contents(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, float]]:
    """What an optimizer stores for each weight: its tensors and its other numbers, by their names in a checkpoint."""
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, float] = {}
    for index, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                scalars[f"{index}/{name}"] = value
    return tensors, scalars


def _open(path: Path, expected: _Expected) -> tuple[Header, dict[str, Tensor]]:
    """The counters and tensors of one file, all checked.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged.
        SafetensorError: its header and its tensors do not fit together.
        DataError: it is undamaged, but not of this network.
    """
    data = read_bytes(path, max_bytes=expected.max_bytes)
    length = int.from_bytes(data[:LENGTH_BYTES], "little")
    if not 0 < length <= min(len(data) - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise ValueError("it is cut short, or is not a checkpoint")
    entries = parse_json(data[LENGTH_BYTES : LENGTH_BYTES + length])
    texts = entries.pop(METADATA, None) if isinstance(entries, dict) else None
    if not isinstance(texts, dict) or not isinstance(texts.get(OURS), str):
        raise ValueError("its header is not one of ours")
    header = Header.model_validate(parse_json(texts[OURS]))
    if header.sha256 is not None and checksum(data, header.sha256) != header.sha256:
        raise ValueError("its checksum is wrong")
    if problem := _difference(entries, header, expected):
        if header.sha256 is None:
            raise ValueError(problem)
        raise DataError(f"{path}: {problem}", hint="Was recipe.toml changed? Restore it, or train again.")
    return header, load(data)


def checksum(data: bytes, place: str) -> str:
    """The SHA-256 of a checkpoint whose header holds `place` where the checksum belongs: of all but those bytes."""
    start = data.index(place.encode())
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(memoryview(data)[start + len(place) :])
    return digest.hexdigest()


def _difference(entries: dict[str, Any], header: Header, expected: _Expected) -> str | None:
    """How names, types and shapes differ from those of the network and its optimizer; None if they do not."""
    required = expected.weights | (expected.optimizer if header.step else {})
    if not expected.complete:
        required = {name: value for name, value in required.items() if name in entries or name in expected.weights}
    if expected.best and header.best_value < math.inf:
        required = required | expected.best
    if odd := sorted(set(required) ^ set(entries)):
        problem = "is missing" if odd[0] in required else "is not part of it"
        return f"it is of another network or optimizer: {_cut(odd[0])} {problem}"
    for name, tensor in required.items():
        entry = entries[name] if isinstance(entries[name], dict) else {}
        if TYPES.get(str(entry.get("dtype"))) != tensor.dtype or entry.get("shape") != list(tensor.shape):
            return f"it is of another network: {name} has another shape or type"
    if set(header.optimizer) != (expected.scalars if header.step else set()):
        return "it is of another optimizer"
    return None


def _fill(
    net: nn.Sequential, recipe: Recipe, header: Header, tensors: dict[str, Tensor], device: torch.device
) -> State:
    """The state that checked counters and tensors describe."""
    groups: dict[str, dict[str, Tensor]] = {"net": {}, "average": {}, "best": {}, "optimizer": {}}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        groups[group][rest] = value.to(device)
    net.load_state_dict(groups["net"])
    state = start(net.to(device), recipe)
    for name in COUNTERS:
        setattr(state, name, getattr(header, name))
    state.average = groups["average"] or None
    state.best = groups["best"] or None
    _fill_optimizer(state.optimizer, groups["optimizer"], header.optimizer, layout(recipe))
    return state


def _fill_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: dict[str, Tensor],
    scalars: dict[str, float],
    memory_format: torch.memory_format,
) -> None:
    """Restore the optimizer's running means."""
    slots: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *scalars.items()]:
        index, _, name = key.partition("/")
        if isinstance(value, Tensor) and value.ndim == 4:
            # The memory layout of the weights in training: a fused step pairs numbers by their place in memory.
            value = value.contiguous(memory_format=memory_format)
        slots.setdefault(int(index), {})[name] = value
    if slots:
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


def _short(exc: Exception) -> str:
    """The problem, in a few words."""
    if isinstance(exc, ValidationError):
        first = exc.errors()[0]
        return f"{'.'.join(map(str, first['loc'])) or 'its header'}: {first['msg']}"
    return _cut(reason_of(exc))


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:119]}…"
