"""Steps, checkpoints and losses of a training that counts steps and not epochs: of all networks but those for digits.

In: a path, a network and its optimizer. Out: a safetensors file with both, and the number of steps in its header; a CSV
of the losses.
"""

from __future__ import annotations

import csv
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as pack
from torch import Tensor, nn

from inkdigit.files import write_atomic
from inkdigit.types import Log


def save(path: Path, step: int, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write both to `path`."""
    tensors = {f"net.{name}": value.contiguous() for name, value in net.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value.contiguous() for name, value in state.items()}
    write_atomic(path, pack(tensors, {"counters": json.dumps({"step": step})}))


def descend(
    loss: Tensor,
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    *,
    max_norm: float = 1.0,
) -> None:
    """Take one step down the gradient of `loss`, which is shortened to `max_norm`, and the next learning rate."""
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), max_norm)
    optimizer.step()
    schedule.step()


def read_net(path: Path, net: nn.Module) -> int:
    """Give `net` the weights at `path`; the number of steps that it was trained for."""
    with safe_open(str(path), "pt") as file:
        net.load_state_dict({name[4:]: file.get_tensor(name) for name in file.keys() if name.startswith("net.")})  # noqa: SIM118
        return int(json.loads(file.metadata()["counters"])["step"])


def resume(
    path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
) -> int:
    """Go on from `path`, if there is such a file; the number of steps that were taken."""
    if not path.exists():
        return 0
    step = read_net(path, net)
    with safe_open(str(path), "pt") as file:
        state: dict[int, dict[str, Tensor]] = {}
        for name in file.keys():  # noqa: SIM118
            if name.startswith("optimizer."):
                _, i, key = name.split(".")
                state.setdefault(int(i), {})[key] = file.get_tensor(name)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch expects a step of the optimizer before one of the schedule
        for _ in range(step):
            schedule.step()
    return step


class Losses:
    """The losses of the steps; their mean is logged and stored every so many of them."""

    def __init__(self, path: Path, *, steps: int, every: int, log: Log) -> None:
        """Begin with none; `path` is the CSV with step, mean and seconds, `steps` how many steps there will be."""
        self._path, self._steps, self._every, self._log = path, steps, every, log
        self._begun, self._losses = time.perf_counter(), list[float]()

    def add(self, step: int, loss: Tensor) -> None:
        """Count the loss of a step; 1 is the first."""
        self._losses.append(float(loss.detach()))
        if step % self._every:
            return
        mean, seconds = float(np.mean(self._losses[-self._every :])), time.perf_counter() - self._begun
        self._log(f"Step {step:,} of {self._steps:,}: loss {mean:.4f}, {seconds:,.0f} s")
        with self._path.open("a", encoding="ascii", newline="") as file:
            csv.writer(file).writerow([step, f"{mean:.5f}", round(seconds)])
