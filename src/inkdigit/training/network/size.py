"""The size of a network, computed from the numbers of its recipe before anything is built.

In: blocks of convolutions, dense layers, outputs. Out: a `Size` in Python's integers, which do not overflow. The limits
here stop a typing error from taking all memory; real networks stay far below them. It needs no torch, so that a recipe
is checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from inkdigit.types import SIDE

MAX_PARAMETERS = 2**26  # a model file of 268 MB; ResNet-18 has 11 million, our largest network 0.65 million
MAX_VALUES = 2**31  # stored by training for one batch: 8 GiB of float32
MAX_IN_A_LAYER = 2**20  # for one image: validation runs a thousand images at a time, which is 4 GiB
MAX_TO_DRAW = 2 * 10**10  # operations of the decomposition behind orthogonal weights: a few seconds


@dataclass(frozen=True, slots=True)
class Block:
    """One block of convolutions, as a recipe describes it."""

    filters: int
    kernel: int
    convs: int
    pooling: str
    padding: str

    def sides(self, side: int, *, striding: int) -> Iterator[int]:
        """The side of the image after each convolution; convolution number `striding` halves it if any does."""
        padding = self.kernel // 2 if self.padding == "same" else 0
        for number in range(self.convs):
            stride = 2 if self.pooling == "stride" and number == striding else 1
            side = max(0, (side + 2 * padding - self.kernel) // stride + 1)
            yield side


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with weights: a matrix (rows, columns), its other weights, the values of its output."""

    rows: int
    columns: int
    others: int  # biases, or the scales and shifts of batch norm
    values: int  # for one image


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a network; values are for one image."""

    parameters: int
    largest: int  # values of the largest output of a layer
    stored: int  # values that the forward pass stores for the backward pass
    to_draw: int  # operations that drawing the largest matrix orthogonally takes

    def too_large(self, *, batch: int, keys: str, orthogonal: bool) -> str | None:
        """Why it is too large to train in batches of `batch`, with the `keys` of the recipe to change; else None."""
        for named, what, number, limit in (
            (keys, "parameters", self.parameters, MAX_PARAMETERS),
            (keys, "values in one layer", self.largest, MAX_IN_A_LAYER),
            (f"batch, {keys}", "values in a batch", self.stored * batch, MAX_VALUES),
        ):
            if number > limit:
                return f"{named}: they make a network of {number:,} {what}; {limit:,} at most"
        if orthogonal and self.to_draw > MAX_TO_DRAW:
            return f"initializer = 'orthogonal' takes minutes for layers so large ({keys})"
        return None


def measure(
    blocks: Sequence[Block],
    dense: Sequence[int],
    *,
    outputs: int,
    residual: bool,
    flatten: bool,
    batch_norm: bool,
    pool_first: bool,
) -> Size:
    """The size of the network that `nets.build` would build."""
    layers, width, side = [], 1, SIDE

    def add(filters: int, kernel: int, after: int) -> None:
        numbers = 2 if batch_norm else 1  # per filter: scale and shift, or a bias
        layers.append(Layer(filters, width * kernel * kernel, numbers * filters, filters * after * after))

    if residual:  # one convolution before the blocks
        add(blocks[0].filters, blocks[0].kernel, side)
        width = blocks[0].filters
    for block in blocks:
        striding = 0 if residual else block.convs - 1
        for number, after in enumerate(block.sides(side, striding=striding)):
            averages = pool_first and block.pooling == "average" and number == block.convs - 1
            add(block.filters, block.kernel, after // 2 if averages else after)  # one layer does both
            strides = block.pooling == "stride" and number == striding
            if residual and number % 2 == 0 and (strides or width != block.filters):
                add(block.filters, 1, after)  # the shortcut around the unit, where the shape changes
            width, side = block.filters, after
        side = side // 2 if block.pooling in ("max", "average") else side
    features = width * side * side if flatten else width
    for units in (*dense, outputs):
        layers.append(Layer(units, features, units, units))
        features = units
    return Size(
        parameters=sum(layer.rows * layer.columns + layer.others for layer in layers),
        largest=max(layer.values for layer in layers),
        stored=sum(3 * layer.values for layer in layers),  # of the layer, its batch norm, its activation
        to_draw=max(layer.rows * layer.columns * min(layer.rows, layer.columns) for layer in layers),
    )
