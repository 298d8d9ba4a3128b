"""The layers of a recipe in any order, a text for each: "conv 32 3", "relu", "max_pool", "flatten", "dense 128".

In: the texts. Out: a `Layer` for each, with the shapes before and after it, or an error that names the layer by its
number. `nets` builds a network of them; torch is not needed here, so that a recipe is checked without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod

from inkdigit.errors import did_you_mean
from inkdigit.training.network import size
from inkdigit.training.network.size import Size
from inkdigit.types import SIDE

Shape = tuple[int, ...]  # of one image: (C, H, W), or (F,) once it is a row of numbers
ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")
TO_A_ROW = ("flatten", "global_average", "global_max")
FORMS = {  # kind → how it is written; what is in brackets may be left out
    "conv": "conv FILTERS KERNEL [stride N] [valid]",
    "depthwise": "depthwise KERNEL [stride N] [valid]",
    "residual": "residual FILTERS KERNEL [stride N]",
    "again": "again LAYER, the number of a conv or depthwise before it",
    "batch_norm": "batch_norm",
    **{name: name for name in ACTIVATIONS},
    "max_pool": "max_pool [SIDE]",
    "average_pool": "average_pool [SIDE]",
    "dropout": "dropout SHARE, which is below 1",
    **{name: name for name in TO_A_ROW},
    "dense": "dense UNITS",
}
_NUMBER = r"([1-9][0-9]{0,5})"
_PATTERNS = {  # of what follows the kind; a kind that is not here stands alone
    "conv": rf" (?P<size>{_NUMBER}) (?P<kernel>{_NUMBER})( stride (?P<stride>{_NUMBER}))?(?P<valid> valid)?",
    "depthwise": rf" (?P<kernel>{_NUMBER})( stride (?P<stride>{_NUMBER}))?(?P<valid> valid)?",
    "residual": rf" (?P<size>{_NUMBER}) (?P<kernel>{_NUMBER})( stride (?P<stride>{_NUMBER}))?",
    "again": rf" (?P<size>{_NUMBER})",
    "max_pool": rf"( (?P<size>{_NUMBER}))?",
    "average_pool": rf"( (?P<size>{_NUMBER}))?",
    "dropout": r" (?P<share>0?\.[0-9]{1,6})",
    "dense": rf" (?P<size>{_NUMBER})",
}
SHARED = ("conv", "depthwise")  # those that can be used again
# The upper limits of its numbers, far above real networks, as those of a recipe's other fields.
_LIMITS = {"conv": 4096, "depthwise": 4096, "residual": 4096, "again": 256, "dense": 65_536}
_LIMITS |= {"max_pool": SIDE, "average_pool": SIDE}
_MAX_KERNEL = 55


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: its number (from 1), its kind and numbers, the shapes before and after it."""

    number: int
    kind: str
    size: int  # filters, units, the side of a pool, or the number of the layer that is used again
    kernel: int
    stride: int
    valid: bool  # without padding
    share: float  # of a dropout
    before: Shape
    after: Shape
    normed: bool = False  # batch norm follows, whose shift makes a bias superfluous
    of: Layer | None = None  # the layer that is used again

    @property
    def name(self) -> str:
        """Its name in the network."""
        return f"layer{self.number}_{self.kind}"

    @property
    def padding(self) -> int:
        """Pixels on each side."""
        return 0 if self.valid else self.kernel // 2


def parse(texts: Iterable[str]) -> list[Layer]:
    """Read the layers, one after the other.

    Raises:
        ValueError: a layer that does not exist or does not fit what comes before it; the message has its number.
    """
    layers: list[Layer] = []
    shape: Shape = (1, SIDE, SIDE)
    words = [" ".join(text.split()) for text in texts]
    for number, text in enumerate(words, 1):
        try:
            layer = _read(text, layers, shape, normed=words[number : number + 1] == ["batch_norm"])
        except ValueError as exc:
            raise ValueError(f"layers: layer {number}, {text[:60]!r}: {exc}") from exc
        layers.append(layer)
        shape = layer.after
    if len(shape) > 1:
        raise ValueError(f"layers: they end with an image, {_words(shape)}: add one of {', '.join(TO_A_ROW)}")
    return layers


def _read(text: str, earlier: Sequence[Layer], before: Shape, *, normed: bool) -> Layer:
    number = len(earlier) + 1
    kind, _, _ = text.partition(" ")
    if kind not in FORMS:
        known = f"Known: {', '.join(FORMS)}."
        raise ValueError(f"there is no such layer. {did_you_mean(kind[:40], FORMS) or known}")
    found = re.fullmatch(_PATTERNS.get(kind, ""), text[len(kind) :])
    if found is None:
        raise ValueError(f"it is written {FORMS[kind]}")
    numbers = found.groupdict()
    size, kernel, stride = (int(numbers.get(key) or 0) for key in ("size", "kernel", "stride"))
    if size > _LIMITS.get(kind, 0) or kernel > _MAX_KERNEL or stride > SIDE:
        raise ValueError(f"a number is too large: {_LIMITS[kind]:,}, a kernel of {_MAX_KERNEL}, a stride of {SIDE}")
    if kind.endswith("pool"):
        size = size or 2
    valid = bool(numbers.get("valid"))
    if kernel and not valid and kernel % 2 == 0:
        raise ValueError(f"its kernel must be odd{', or valid, which adds no padding' * (kind in SHARED)}")
    share = float(numbers.get("share") or 0)
    if kind == "again":
        return _again(size, earlier, number, before)
    if kind == "depthwise":
        size = before[0]
    layer = Layer(number, kind, size, kernel, max(stride, 1), valid, share, before, before, normed)
    return _shaped(layer)


def _again(of: int, earlier: Sequence[Layer], number: int, before: Shape) -> Layer:
    """The layer number `of` once more, with the same weights.

    Raises:
        ValueError: there is no such layer before this one, or it does not fit what comes before this one.
    """
    layer = earlier[of - 1] if of <= len(earlier) else None
    if layer is None or layer.kind not in SHARED:
        what = f"is {layer.kind}" if layer else "does not come before it"
        raise ValueError(f"layer {of} {what}; use {' or '.join(SHARED)} before it again")
    if len(before) != len(layer.before) or before[0] != layer.before[0]:
        raise ValueError(f"the channels do not fit: layer {of} takes {layer.before[0]}, and {before[0]} come before it")
    once_more = _shaped(replace(layer, before=before, after=before))
    return replace(once_more, number=number, kind="again", size=of, of=layer)


def _shaped(layer: Layer) -> Layer:
    """The layer with the shape after it.

    Raises:
        ValueError: it does not fit the shape before it, or nothing is left of the image.
    """
    kind, before = layer.kind, layer.before
    if kind == "dense" and len(before) > 1:
        raise ValueError(f"it takes a row of numbers, not an image, {_words(before)}: first {', '.join(TO_A_ROW)}")
    if kind in ("conv", "depthwise", "residual", "max_pool", "average_pool", *TO_A_ROW) and len(before) == 1:
        raise ValueError(f"it takes an image, and there is only a row of {before[0]:,} numbers before it")
    after = before
    if kind == "dense":
        after = (layer.size,)
    elif kind == "flatten":
        after = (prod(before),)
    elif kind in TO_A_ROW:
        after = before[:1]
    elif kind in ("max_pool", "average_pool"):
        after = (before[0], *(side // layer.size for side in before[1:]))
    elif kind in ("conv", "depthwise", "residual"):
        side = (before[1] + 2 * layer.padding - layer.kernel) // layer.stride + 1
        after = (layer.size, max(side, 0), max(side, 0))
    if min(after) < 1:
        raise ValueError(f"it leaves nothing of the image, which is {_words(before)} before it")
    return replace(layer, after=after)


def _words(shape: Shape) -> str:
    return " × ".join(f"{n}" for n in shape)


def measure(layers: Sequence[Layer], *, outputs: int, batch_norm: bool) -> Size:
    """The size of the network of these layers and an output layer; `batch_norm` is that of residual layers."""
    rows = [row for layer in layers for row in _sizes(layer, batch_norm=batch_norm)]
    features = layers[-1].after[0]
    rows.append(size.Layer(outputs, features, outputs, outputs))
    return Size(
        parameters=sum(row.rows * row.columns + row.others for row in rows),
        largest=max(row.values for row in rows),
        stored=sum(row.values for row in rows),
        to_draw=max(row.rows * row.columns * min(row.rows, row.columns) for row in rows),
    )


def _sizes(layer: Layer, *, batch_norm: bool) -> list[size.Layer]:
    """The layers with weights that one of a recipe consists of, or one without."""
    values = prod(layer.after)
    inputs, filters = layer.before[0], layer.size
    if layer.kind == "conv":
        return [size.Layer(filters, inputs * layer.kernel**2, 0 if layer.normed else filters, values)]
    if layer.kind == "depthwise":
        return [size.Layer(filters, layer.kernel**2, 0, values)]
    if layer.kind == "dense":
        return [size.Layer(filters, inputs, 0 if layer.normed else filters, values)]
    if layer.kind == "batch_norm":
        return [size.Layer(0, 0, 2 * inputs, values)]
    if layer.kind == "residual":
        extra = (2 if batch_norm else 1) * filters
        columns = [inputs * layer.kernel**2, filters * layer.kernel**2]
        if layer.stride > 1 or inputs != filters:
            columns.append(inputs)  # the shortcut
        return [size.Layer(filters, count, extra, 3 * values) for count in columns]
    return [size.Layer(0, 0, 0, values)]
