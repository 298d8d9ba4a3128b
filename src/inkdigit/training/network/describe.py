"""What a network consists of, for the report of a run.

In: a network as `nets` builds it. Out: a row for each of its layers, in their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from inkdigit.training.network.nets import OWN, Again, PooledConv2d, parameters
from inkdigit.types import SIDE


def layers_of(net: nn.Sequential) -> list[dict[str, Any]]:
    """A row for each layer: `name`, `kind`, `kernel` (of all its windows), `output` (C×H×W), number of `parameters`."""
    rows = []
    x = torch.zeros(1, 1, SIDE, SIDE)
    was_training = net.training
    net.eval()
    with torch.no_grad():
        for name, layer in net.named_children():
            with _listened(layer if name == OWN else nn.Identity()) as inside:
                x = layer(x)
            rows += [*inside, _row(name, layer, x)]
    net.train(was_training)
    return rows


@contextmanager
def _listened(own: nn.Module) -> Iterator[list[dict[str, Any]]]:
    """The rows of the layers that a network of the user's own calls within the block."""
    rows: list[dict[str, Any]] = []
    hooks = [
        layer.register_forward_hook(lambda module, _, out, name=name: rows.append(_row(f"{OWN}.{name}", module, out)))
        for name, layer in own.named_modules()
        if not list(layer.children())
    ]
    try:
        yield rows
    finally:
        for hook in hooks:
            hook.remove()


def _row(name: str, layer: nn.Module, out: object) -> dict[str, Any]:
    return {
        "name": name,
        "kind": layer.__class__.__name__,
        "kernel": " + ".join(map(_window, filter(_has_window, _inside(layer).modules()))),
        "output": "×".join(str(n) for n in out.shape[1:]) if isinstance(out, Tensor) else type(out).__name__,
        "parameters": parameters(layer),
    }


def _inside(layer: nn.Module) -> nn.Module:
    return layer.layer if isinstance(layer, Again) else layer


def _has_window(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)


def _window(layer: Any) -> str:
    """The window of a convolution or a pooling as text, with its stride where that is not the usual one."""
    sides, strides = (n if isinstance(n, tuple) else (n, n) for n in (layer.kernel_size, layer.stride))
    usual = (1, 1) if isinstance(layer, nn.Conv2d) else sides
    if isinstance(layer, PooledConv2d):
        return "×".join(map(str, sides)) + " + 2×2"
    return "×".join(map(str, sides)) + ("" if strides == usual else f", stride {strides[0]}")
