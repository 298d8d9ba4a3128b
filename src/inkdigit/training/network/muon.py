"""Muon: an optimizer in which all filters of a convolution learn equally fast.

In: the weights of a network. Out: an optimizer. The momentum of a convolution's weights, as a matrix (filters, inputs ×
height × width), is made nearly orthogonal by a few Newton–Schulz steps before it is applied, after
https://kellerjordan.github.io/posts/muon/. All other weights (biases, batch norm, dense layers, and convolutions whose
filters see one channel: a first or a depthwise one) take plain SGD with Nesterov momentum, at the same rate.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # coefficients of the quintic that moves singular values to about 1
ITERATIONS = 3  # enough for matrices as small as ours; the page takes 5


class Muon(torch.optim.SGD):
    """SGD with orthogonal steps for convolutions; their weight decay is decoupled."""

    # The methods without the wrappers that import torch._dynamo, a second, to say that it should leave them alone.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    state_dict = inspect.unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)
    _step = inspect.unwrap(torch.optim.SGD.step)

    def __init__(
        self, weights: Iterable[nn.Parameter], lr: float, *, momentum: float, weight_decay: float, fused: bool = True
    ) -> None:
        """Both kinds of weights have the same `momentum`; `fused` is that of SGD."""
        weights = list(weights)
        self._matrices = [w for w in weights if w.ndim == 4 and w.shape[1] > 1]
        others = [w for w in weights if w.ndim != 4 or w.shape[1] == 1]
        self._momentum = momentum
        groups: list[dict[str, Any]] = [
            {"params": others, "momentum": momentum, "nesterov": momentum > 0},
            {"params": self._matrices},  # their momentum is stored by `step`
        ]
        super().__init__([group for group in groups if group["params"]], lr, weight_decay=weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Replace each convolution's gradient by its orthogonal direction, then step as SGD does."""
        for weight in self._matrices:
            if weight.grad is None:
                continue
            slots = self.state[weight]
            if "moving" not in slots:
                slots["moving"] = torch.zeros_like(weight)
            moving = slots["moving"].mul_(self._momentum).add_(weight.grad)
            ahead = weight.grad.add(moving, alpha=self._momentum)  # Nesterov momentum
            filters = ahead.movedim(1, -1)  # as they lie in memory
            weight.grad.copy_(orthogonal(filters.flatten(1)).view_as(filters).movedim(-1, 1))
        self._step(closure)


def orthogonal(matrix: Tensor) -> Tensor:
    """The direction of `matrix` (rows, columns) with all singular values near 1; tall matrices get longer steps.

    A Newton–Schulz step multiplies x by a polynomial of the square x xᵀ. As the polynomials are small, they are
    multiplied with each other first, and with x at the end: less work, and the same direction.
    """
    rows, columns = matrix.shape
    x = matrix.T if rows > columns else matrix
    square = x @ x.T
    norm = square.trace().sqrt() + 1e-7  # of x
    square = square / norm**2
    step = whole = _polynomial(square)
    for _ in range(ITERATIONS - 1):
        square = step @ square @ step  # of the next x
        step = _polynomial(square)
        whole = step @ whole
    direction: Tensor = whole * (math.sqrt(max(1, rows / columns)) / norm) @ x
    return direction.T if rows > columns else direction


def _polynomial(square: Tensor) -> Tensor:
    """What a Newton–Schulz step multiplies x by, where `square` is x xᵀ."""
    a, b, c = NEWTON_SCHULZ
    polynomial: Tensor = torch.addmm(square, square, square, beta=b, alpha=c)
    polynomial.diagonal().add_(a)
    return polynomial
