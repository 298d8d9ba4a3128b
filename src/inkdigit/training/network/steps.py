"""Checkpoints of a training that counts steps and not epochs: of the ink network and of the line reader.

In: a path, a network and its optimizer. Out: a safetensors file with both, and the number of steps in its header.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as pack
from torch import Tensor, nn

from inkdigit.files import write_atomic


def save(path: Path, step: int, net: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write both to `path`."""
    tensors = {f"net.{name}": value.contiguous() for name, value in net.state_dict().items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{i}.{name}": value.contiguous() for name, value in state.items()}
    write_atomic(path, pack(tensors, {"counters": json.dumps({"step": step})}))


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
