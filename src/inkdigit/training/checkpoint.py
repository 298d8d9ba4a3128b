"""A training state on disk: tensors as safetensors, the rest as JSON; nothing that could run code.

In and out: `State` ⇄ `checkpoint/` in the run directory, written aside and renamed after each epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from inkdigit.errors import DataError, UsageError
from inkdigit.runs import write_aside, writing
from inkdigit.training.loop import State, start
from inkdigit.training.recipe import Recipe

FILE = "checkpoint/state.safetensors"
COUNTERS = ("best_value", "epochs_since_best", "plateau_scale", "plateau_epochs", "epoch", "step", "stopped")


def write(run: Path, state: State) -> None:
    """Write the whole state as one file, counters in its header.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    for group, weights in (("net", state.net.state_dict()), ("average", state.average), ("best", state.best)):
        tensors.update({f"{group}/{name}": value for name, value in (weights or {}).items()})
    optimizer: dict[str, Any] = {}
    for index, slots in state.optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{name}"] = value
            else:
                optimizer[f"{index}/{name}"] = value
    header = {name: getattr(state, name) for name in COUNTERS} | {"optimizer": optimizer}
    flat = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with writing(run / FILE):
        (run / FILE).parent.mkdir(exist_ok=True)
    write_aside(run / FILE, save(flat, {"inkdigit": json.dumps(header)}))


def read(run: Path, net: nn.Sequential, recipe: Recipe, *, device: torch.device) -> State:
    """Read the state of a run into a freshly built network on `device`.

    Raises:
        UsageError: the run has no checkpoint.
        DataError: the checkpoint is damaged, or of another network.
    """
    path = run / FILE
    if not path.is_file():
        raise UsageError(f"{run} has no checkpoint to go on from", hint="Train it anew.")
    try:
        data = path.read_bytes()
        tensors = load(data)
        header_bytes = int.from_bytes(data[:8], "little")
        header = json.loads(json.loads(data[8 : 8 + header_bytes])["__metadata__"]["inkdigit"])
        groups: dict[str, dict[str, Tensor]] = {"net": {}, "average": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            group, _, rest = name.partition("/")
            groups[group][rest] = value.to(device)
        net.load_state_dict(groups["net"])
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as exc:
        raise DataError(f"{path}: the checkpoint cannot be read ({exc})", hint="Train the run anew.") from exc
    state = start(net.to(device), recipe)
    for name in COUNTERS:
        setattr(state, name, header[name])
    state.average = groups["average"] or None
    state.best = groups["best"] or None
    _fill(state.optimizer, groups["optimizer"], header["optimizer"])
    return state


def _fill(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any]) -> None:
    """Give the optimizer its running means back."""
    slots: dict[int, dict[str, Any]] = {}
    for key, value in [*tensors.items(), *scalars.items()]:
        index, _, name = key.partition("/")
        if isinstance(value, Tensor) and value.ndim == 4:
            # The layout of the weights in training: a fused step pairs numbers by where they lie in memory.
            value = value.contiguous(memory_format=torch.channels_last)
        slots.setdefault(int(index), {})[name] = value
    if slots:
        optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
