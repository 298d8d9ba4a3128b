"""What a Core ML package says, computed without Core ML: coremltools reads the files, PyTorch computes each operator.

In: an `.mlpackage`. Out: its outputs for images. It follows Apple's description of the operators of ML programs, and
knows those that `coreml` writes, and those that coremltools makes of them. It is not Apple's runtime: what a processor
of theirs rounds otherwise, it does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from inkdigit.types import Floats, Gray

Values = dict[str, Any]
PROGRAM = "main"


def runner(package: Path, outputs: Sequence[str]) -> Callable[[Gray], list[Floats]]:
    """What the package computes: uint8 (N, 28, 28), one image at a time, → its `outputs`."""
    operations = _operations(package)

    def run(images: Gray) -> list[Floats]:
        answers = [_answer(operations, torch.from_numpy(image[None]).float(), outputs) for image in images]
        return [np.concatenate([answer[i] for answer in answers]) for i in range(len(outputs))]

    return run


def _operations(package: Path) -> list[Any]:
    """The operators of the program in a package, in their order, after its inputs and outputs were looked at."""
    import coremltools as ct
    from coremltools.converters.mil.frontend.milproto.load import load

    spec = ct.utils.load_spec(str(package))
    folder = next(package.rglob("weights"), package)
    program = load(spec, spec.specificationVersion, str(folder))
    return list(program.functions[PROGRAM].operations)


def _answer(operations: Sequence[Any], image: Tensor, outputs: Sequence[str]) -> list[Floats]:
    values: dict[str, Any] = {"image": image}
    for operation in operations:
        if operation.op_type == "const":
            values[operation.outputs[0].name] = _constant(operation.outputs[0].val)
            continue
        given = {name: _given(value, values) for name, value in operation.inputs.items() if value is not None}
        values[operation.outputs[0].name] = OPERATORS[operation.op_type](given)
    return [values[name].numpy() for name in outputs]


def _constant(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.floating) and np.asarray(value).dtype.kind == "f":
        return torch.from_numpy(np.array(value))
    return value


def _given(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, tuple | list):
        return [values[item.name] for item in value]
    return values[value.name]


def _ints(value: Any) -> list[int]:
    return [int(number) for number in np.asarray(value).reshape(-1)]


def _around(x: Tensor, v: Values, value: float) -> Tensor:
    """An image with its `pad` (top, bottom, left, right)."""
    if str(v["pad_type"]) == "valid":
        return x
    if str(v["pad_type"]) != "custom":
        raise NotImplementedError(f"pad_type {v['pad_type']}")
    top, bottom, left, right = _ints(v["pad"])
    return F.pad(x, (left, right, top, bottom), value=value)


def _conv(v: Values) -> Tensor:
    x = _around(v["x"], v, 0.0)
    return F.conv2d(
        x,
        v["weight"],
        v.get("bias"),
        stride=tuple(_ints(v["strides"])),
        dilation=tuple(_ints(v["dilations"])),
        groups=int(v["groups"]),
    )


def _max_pool(v: Values) -> Tensor:
    return F.max_pool2d(_around(v["x"], v, -np.inf), _ints(v["kernel_sizes"]), _ints(v["strides"]))


def _avg_pool(v: Values) -> Tensor:
    sums = F.avg_pool2d(_around(v["x"], v, 0.0), _ints(v["kernel_sizes"]), _ints(v["strides"]))
    if not bool(v["exclude_padding_from_average"]):
        return sums
    shares = F.avg_pool2d(_around(torch.ones_like(v["x"]), v, 0.0), _ints(v["kernel_sizes"]), _ints(v["strides"]))
    return sums / shares


def _batch_norm(v: Values) -> Tensor:
    return F.batch_norm(v["x"], v["mean"], v["variance"], v["gamma"], v["beta"], eps=float(v["epsilon"]))


def _gelu(v: Values) -> Tensor:
    if str(v.get("mode", "EXACT")) != "EXACT":
        raise NotImplementedError(f"gelu {v['mode']}")
    return F.gelu(v["x"])


def _slice(v: Values) -> Tensor:
    x: Tensor = v["x"]
    begin, end = _ints(v["begin"]), _ints(v["end"])
    stride = _ints(v["stride"]) if v.get("stride") is not None else [1] * x.ndim
    masks = {name: v.get(name) for name in ("begin_mask", "end_mask", "squeeze_mask")}
    if masks["squeeze_mask"] is not None and np.any(masks["squeeze_mask"]):
        raise NotImplementedError("squeeze_mask")

    def free(name: str, axis: int) -> bool:
        return masks[name] is not None and bool(np.asarray(masks[name])[axis])

    parts = [
        slice(None if free("begin_mask", i) else begin[i], None if free("end_mask", i) else end[i], stride[i])
        for i in range(x.ndim)
    ]
    return x[tuple(parts)]


def _pad(v: Values) -> Tensor:
    amounts = _ints(v["pad"])
    pairs = [amounts[i : i + 2] for i in range(0, len(amounts), 2)]
    flat = [amount for pair in reversed(pairs) for amount in pair]
    return F.pad(v["x"], flat, value=float(v["constant_val"]))


def _reducing(reduce: Callable[..., Tensor]) -> Callable[[Values], Tensor]:
    return lambda v: reduce(v["x"], dim=tuple(_ints(v["axes"])), keepdim=bool(v["keep_dims"]))


def _of_one(compute: Callable[[Tensor], Tensor]) -> Callable[[Values], Tensor]:
    return lambda v: compute(v["x"])


def _of_two(compute: Callable[[Any, Any], Tensor]) -> Callable[[Values], Tensor]:
    return lambda v: compute(torch.as_tensor(v["x"]), torch.as_tensor(v["y"]))


def _matmul(v: Values) -> Tensor:
    x, y = (v[name].mT if bool(v.get(f"transpose_{name}", False)) else v[name] for name in ("x", "y"))
    product: Tensor = x @ y
    return product


OPERATORS: dict[str, Callable[[Values], Tensor]] = {
    "conv": _conv,
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
    "batch_norm": _batch_norm,
    "gelu": _gelu,
    "slice_by_index": _slice,
    "pad": _pad,
    "matmul": _matmul,
    "linear": lambda v: F.linear(v["x"], v["weight"], v.get("bias")),
    "softmax": lambda v: v["x"].softmax(int(v["axis"])),
    "reshape": lambda v: v["x"].reshape(_ints(v["shape"])),
    "expand_dims": lambda v: v["x"][tuple(_with_new(v["x"].ndim, _ints(v["axes"])))],
    "squeeze": lambda v: v["x"].squeeze(tuple(_ints(v["axes"]))),
    "transpose": lambda v: v["x"].permute(_ints(v["perm"])),
    "concat": lambda v: torch.cat(v["values"], int(v["axis"])),
    "clip": lambda v: v["x"].clamp(float(v["alpha"]), float(v["beta"])),
    "elu": lambda v: F.elu(v["x"], float(v["alpha"])),
    "leaky_relu": lambda v: F.leaky_relu(v["x"], float(v["alpha"])),
    "log": lambda v: (v["x"] + float(v["epsilon"])).log(),
    **{name: _of_one(getattr(torch, name)) for name in ("relu", "tanh", "sigmoid", "exp", "sqrt", "abs", "erf")},
    "identity": _of_one(lambda x: x),
    "silu": _of_one(F.silu),
    "add": _of_two(torch.add),
    "sub": _of_two(torch.sub),
    "mul": _of_two(torch.mul),
    "real_div": _of_two(torch.div),
    "pow": _of_two(torch.pow),
    "maximum": _of_two(torch.maximum),
    "minimum": _of_two(torch.minimum),
    "reduce_max": _reducing(torch.amax),
    "reduce_min": _reducing(torch.amin),
    "reduce_mean": _reducing(torch.mean),
    "reduce_sum": _reducing(torch.sum),
    "reduce_log_sum_exp": _reducing(torch.logsumexp),
}


def _with_new(dimensions: int, axes: Sequence[int]) -> list[Any]:
    """An index that adds axes of size 1 to a tensor with so many `dimensions`."""
    rank = dimensions + len(axes)
    new = {axis % rank for axis in axes}
    return [None if axis in new else slice(None) for axis in range(rank)]
