"""The weights of a line reader's model file, as those of a network that learns on.

In: a model file and lines. Out: a `LineNet` that reads as the file does. In a file the batch norms are inside of the
convolutions; here they are beside them again, with the statistics that they have on the lines. Layers with a shortcut
that the file lacks begin with doing almost nothing: so a network that reads becomes deeper.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from inkdigit.errors import UsageError
from inkdigit.training.line.net import LineNet
from inkdigit.training.line.pools import Pool
from inkdigit.training.line.train import batches
from inkdigit.types import ALPHABET

FILTER_NORM = 3**-0.5  # as PyTorch begins: a step turns a filter as far as in a training from the beginning
LEAST = 1e-6
SHORTCUT = ".steps."  # in the name of a layer that has one
SMALL = 0.1  # what a layer that is new adds to its shortcut; with nothing it would not learn
BATCHES = 16  # of lines, for the statistics


def net_of(path: Path, pool: Pool) -> LineNet:
    """The network of the line reader at `path`; `pool` are lines as it will see them.

    Raises:
        UsageError: it has other layers.
    """
    net, weights = LineNet(len(ALPHABET)), _weights(path)
    norms: list[nn.BatchNorm2d] = []
    for name, module in net.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        stored = weights.get(f"{name}.weight")
        if stored is None and SHORTCUT in name:
            nn.init.constant_(_norm_of(net, name).weight, SMALL)
            continue
        if stored is None or stored.shape != module.weight.shape:
            raise UsageError(f"{path} has other layers", expected="a line reader as this release trains it")
        bias = weights[f"{name}.bias"]
        with torch.no_grad():
            if module.bias is not None:
                module.weight.copy_(stored)
                module.bias.copy_(bias)
                continue
            norm = _norm_of(net, name)
            long = stored.flatten(1).norm(dim=1).clamp_min(LEAST) / FILTER_NORM
            module.weight.copy_(stored / long[:, None, None, None])
            norm.weight.copy_(long)
            norm.bias.copy_(bias)
            norm.running_var = torch.full_like(long, 1 - norm.eps)
            norms.append(norm)
    _measure(net, norms, pool)
    return net


def _norm_of(net: LineNet, convolution: str) -> nn.BatchNorm2d:
    """The batch norm of a convolution, which is beside it in its block."""
    norm = net.get_submodule(f"{convolution[:-1]}1")
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _weights(path: Path) -> dict[str, Tensor]:
    """The weights and biases of a model file by the names of the network, float32."""
    stored = {one.name.removeprefix("net."): numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    for name in [name for name in stored if name.endswith(".int8")]:
        weight = name.removesuffix(".int8")
        stored[weight] = stored[name] * stored[f"{weight}.scale"]
    return {name: torch.from_numpy(np.array(array, np.float32)) for name, array in stored.items()}


def _measure(net: LineNet, norms: list[nn.BatchNorm2d], pool: Pool) -> None:
    """Give batch norms that do nothing but scale the statistics of what they see, so that the outputs stay the same."""
    seen: dict[nn.Module, list[Tensor]] = {norm: [] for norm in norms}  # mean and variance of each channel, a batch

    def note(norm: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        seen[norm].append(torch.stack(torch.var_mean(inputs[0], (0, 2, 3))))

    hooks = [norm.register_forward_hook(note) for norm in norms]
    net.eval()
    with torch.no_grad():
        for batch in islice(batches([pool], np.random.default_rng(0)), BATCHES):
            net(batch.views)
        for hook, norm in zip(hooks, norms, strict=True):
            hook.remove()
            variance, mean = torch.stack(seen[norm]).mean(0)
            norm.bias.add_(norm.weight * mean)
            norm.weight.mul_(torch.sqrt(variance + norm.eps))
            norm.running_mean, norm.running_var = mean, variance
