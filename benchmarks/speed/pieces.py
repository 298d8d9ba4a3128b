"""What the candidates of the recipes are made of: networks, and changes of images and steps.

In: nothing. Out: fields of recipes.
"""

from __future__ import annotations

from collections.abc import Sequence

SGD = {"optimizer": "sgd", "learning_rate": 0.35, "momentum": 0.9}
LESS_CHANGED = {"squish": 0.0, "shear": 0.0, "thickness": 0.0}
PLAIN = {**LESS_CHANGED, "rotate_deg": 0.0, "zoom": 0.0, "shift_px": 0.0}
THIN_START = {
    "filters": [24, 48, 96, 128],
    "kernel": 3,
    "convs_per_block": [1, 1, 1, 2],
    "pooling": ["none", "stride", "average", "none"],
    "padding": ["valid", "valid", "same", "valid"],
}
BLOCKS_OF_THREE = {
    "filters": [32, 64],
    "kernel": 3,
    "convs_per_block": 3,
    "pooling": ["max", "none"],
    "padding": "valid",
}
HALVED_FIRST = {
    "filters": [12, 24, 30],
    "kernel": [5, 3, 3],
    "convs_per_block": 1,
    "pooling": ["stride", "average", "none"],
    "padding": "valid",
}
# As many filters as a vector of AVX-512 has numbers: ONNX Runtime needs half of the time of 10 and 18 for it.
FIVES = {
    "filters": [16, 16, 16],
    "kernel": 3,
    "convs_per_block": [1, 2, 2],
    "pooling": ["max", "max", "none"],
    "padding": ["valid", "same", "same"],
}
FIVE_BY_FIVE = {
    "filters": [48, 96, 192],
    "kernel": [5, 3, 3],
    "convs_per_block": [1, 1, 2],
    "pooling": ["stride", "average", "none"],
    "padding": ["valid", "same", "valid"],
}
WHITENED = {**FIVE_BY_FIVE, "whiten": True, "epochs": 24}
RESIDUAL = {
    "block": "residual",
    "filters": [32, 64, 128],
    "convs_per_block": 2,
    "pooling": "stride",
    "pool_first": False,
    "padding": "same",
}
NORMED = ["batch_norm", "relu"]


def again(first: list[str], unit: list[str], plan: str) -> list[str]:
    """The layers of `first`; then, for each c of the plan, the convolutions of `unit`, always the same; P pools."""
    layers, numbers = [*first], list[int]()
    for step in plan:
        if step == "P":
            layers.append("max_pool")
            continue
        layers += [f"again {number}" for number in numbers] or unit
        numbers = numbers or [len(layers) - len(unit) + 1 + i for i in range(len(unit))]
        layers += NORMED
    return [*layers, "global_average"]


def separable(widths: list[int], plan: str, first: str = "conv 7 3 valid") -> list[str]:
    """`first`, pooled; then a depthwise convolution and one that mixes, for each width: v without padding, P pools."""
    layers = [first, "max_pool", *NORMED]
    for width, step in zip(widths, plan, strict=True):
        depthwise = f"depthwise 3{' valid' if step == 'v' else ''}"
        layers += [depthwise, f"conv {width} 1", *(["max_pool"] if step == "P" else []), *NORMED]
    return [*layers, "global_average"]


def unpadded(first: Sequence[str], widths: Sequence[int]) -> list[str]:
    """`first`, then convolutions of 3×3 without padding, each of which makes the image two pixels smaller."""
    narrowing = [layer for width in widths for layer in (f"conv {width} 3 valid", *NORMED)]
    return [*first, *NORMED, *narrowing, "global_average"]


def activated(layers: Sequence[str], activation: str) -> list[str]:
    """The layers with another activation than ReLU."""
    return [layer.replace("relu", activation) for layer in layers]


UNPADDED = {"layers": unpadded(["conv 32 3 valid", "average_pool"], [48, 64, 80, 96, 128])}
STRIDED = ["conv 32 5 stride 2 valid"]
STEM = ["conv 8 3 valid", "max_pool", *NORMED]
WIDE_STEM = ["conv 16 3 valid", "max_pool", *NORMED]
DEPTHWISE = ["depthwise 3", "conv 16 1"]
SEPARABLE = separable([10, 10, 10, 10], "vvvv")
FIVE_DEPTHWISE = separable([96, 96, 128, 128, 160], "vvvvv", "conv 32 3 valid")
SHARED_MIXING = separable([64, 64], "vv", "conv 16 3 valid")[:-1]
SHARED_MIXING += ["depthwise 3 valid", "again 10", *NORMED] * 2 + ["global_average"]
LESS_DECAY = {"learning_rate": 0.4, "weight_decay": 5e-5, "label_smoothing": 0.0}
AS_MICRO = {**LESS_DECAY, **LESS_CHANGED, "moments": True, "rotate_deg": 5.0, "zoom": 0.05, "shift_px": 0.7}
TINY_BEFORE = {  # full convolutions
    **BLOCKS_OF_THREE,
    **LESS_CHANGED,
    "layers": [],
    "filters": [10, 18],
    "pool_first": True,
    "head": "global_average",
    "normalize": "unit",
    "label_smoothing": 0.0,
}
# Half of the writers held out: more certain than 10,000 images and quicker, of networks trained on half as much.
HALVES = {**THIN_START, "weight_decay": 5e-4, "epochs": 16, "squish": 0.1, "shear": 0.15, "validation": 30_000}
STROKES, INSIDE = {"thickness": 0.5}, {"shift_px": 3.0, "shift_inside": True}
ALL_CHANGES = {"elastic_px": 0.7, "squish": 0.1, "shear": 0.15, "thickness": 0.5}
