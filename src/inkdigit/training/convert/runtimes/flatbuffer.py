"""The bytes of a LiteRT file: tensors, constants and operators, in the flatbuffer that LiteRT's schema describes.

In: operators by the names of the schema, with their inputs. Out: the file, and what LiteRT makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inkdigit.training.convert.runtimes.plain import Array

STDERR = 2  # its number
IDENTIFIER = b"TFL3"
VERSION = 3  # of the schema
SIGNATURE = "serving_default"  # the name that converters give the one function of a model
TYPES = {np.dtype(np.float32): "FLOAT32", np.dtype(np.int32): "INT32", np.dtype(np.uint8): "UINT8"}
OPTIONS = {  # operators whose options are not called after them
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "RESHAPE": "ReshapeOptions",
    "TRANSPOSE": "TransposeOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
    "CAST": "CastOptions",
    "ADD": "AddOptions",
    "SUB": "SubOptions",
    "MUL": "MulOptions",
    "DIV": "DivOptions",
    "POW": "PowOptions",
    "EXP": "ExpOptions",
    "NEG": "NegOptions",
    "ABS": "AbsOptions",
    "SIGN": "SignOptions",
    "PAD": "PadOptions",
    "PADV2": "PadV2Options",
    **dict.fromkeys(("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN"), "ReducerOptions"),
}


class Writer:
    """A file in the making: one function, whose operators are added in the order in which they run."""

    def __init__(self) -> None:
        """Begin with no operator.

        Raises:
            ModuleNotFoundError: LiteRT, whose package has the schema, is not installed.
        """
        import ai_edge_litert.schema_py_generated as schema

        self._schema: Any = schema
        self._tensors: list[Any] = []
        self._operators: list[Any] = []
        self._codes: list[int] = []
        self._buffers: list[Any] = [schema.BufferT()]  # the first one is empty, and that of all that is computed

    def tensor(self, shape: Sequence[int], dtype: Any, *, name: str | None = None) -> int:
        """A value that is computed; its number."""
        tensor = self._schema.TensorT()
        tensor.shape, tensor.name = list(shape), name or f"value_{len(self._tensors)}"
        tensor.type = getattr(self._schema.TensorType, TYPES[np.dtype(dtype)])
        tensor.buffer, tensor.hasRank = 0, True
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(self, array: Array | np.generic) -> int:
        """A value that is in the file; its number."""
        kept = np.ascontiguousarray(array)
        kept = kept.reshape(np.shape(array))  # NumPy makes one dimension of none
        index = self.tensor(kept.shape, kept.dtype)
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(kept.tobytes(), np.uint8)
        self._tensors[index].buffer = len(self._buffers)
        self._buffers.append(buffer)
        return index

    def shape(self, tensor: int) -> tuple[int, ...]:
        """The shape in which a value is stored."""
        return tuple(self._tensors[tensor].shape)

    def add(
        self, operator: str, inputs: Sequence[int], shape: Sequence[int], options: dict[str, Any] | None = None
    ) -> int:
        """Add an operator with a float result of this shape; the number of the result."""
        output = self.tensor(shape, np.float32)
        entry = self._schema.OperatorT()
        code = getattr(self._schema.BuiltinOperator, operator)
        if code not in self._codes:
            self._codes.append(code)
        entry.opcodeIndex = self._codes.index(code)
        entry.inputs, entry.outputs = list(inputs), [output]
        if operator in OPTIONS:
            entry.builtinOptionsType = getattr(self._schema.BuiltinOptions, OPTIONS[operator])
            entry.builtinOptions = getattr(self._schema, f"{OPTIONS[operator]}T")()
            for name, value in (options or {}).items():
                setattr(entry.builtinOptions, name, value)
        self._operators.append(entry)
        return output

    def reshape(self, tensor: int, shape: Sequence[int]) -> int:
        """The same numbers in another shape."""
        if self.shape(tensor) == tuple(shape):
            return tensor
        wanted = np.array(shape, np.int32)
        dtype_kept = self._tensors[tensor].type
        output = self.add("RESHAPE", [tensor, self.constant(wanted)], shape, {"newShape": wanted.tolist()})
        self._tensors[output].type = dtype_kept
        return output

    def transpose(self, tensor: int, order: Sequence[int]) -> int:
        """The same numbers with their axes in another order."""
        shape = [self.shape(tensor)[axis] for axis in order]
        return self.add("TRANSPOSE", [tensor, self.constant(np.array(order, np.int32))], shape)

    def finish(self, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
        """The bytes of the file; inputs and outputs go by these names."""
        import flatbuffers

        schema, graph = self._schema, self._schema.SubGraphT()
        for name, tensor in outputs.items():
            self._tensors[tensor].name = name
        graph.name, graph.tensors, graph.operators = "main", self._tensors, self._operators
        graph.inputs, graph.outputs = list(inputs.values()), list(outputs.values())
        signature = schema.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = SIGNATURE, 0
        signature.inputs, signature.outputs = self._names(inputs), self._names(outputs)
        model = schema.ModelT()
        model.version, model.description = VERSION, "Written by Inkdigit."
        model.subgraphs, model.buffers, model.signatureDefs = [graph], self._buffers, [signature]
        model.operatorCodes = [self._code(code) for code in self._codes]
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
        return bytes(builder.Output())

    def _names(self, tensors: dict[str, int]) -> list[Any]:
        entries = []
        for name, tensor in tensors.items():
            entry = self._schema.TensorMapT()
            entry.name, entry.tensorIndex = name, tensor
            entries.append(entry)
        return entries

    def _code(self, code: int) -> Any:
        entry = self._schema.OperatorCodeT()
        entry.builtinCode, entry.version = code, 1
        entry.deprecatedBuiltinCode = min(code, self._schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
        return entry


def open_file(data: bytes) -> Any:
    """The function of a file as LiteRT runs it: it takes and returns arrays by name."""
    from ai_edge_litert.interpreter import Interpreter

    with _without_notice():
        interpreter = Interpreter(model_content=data, num_threads=1)
        interpreter.allocate_tensors()
    return interpreter.get_signature_runner(SIGNATURE)


@contextmanager
def _without_notice() -> Iterator[None]:
    """Hide the line that LiteRT, which is C++, writes to stderr about the kernels that it takes."""
    try:
        saved = os.dup(STDERR)
    except OSError:  # there is no stderr
        yield
        return
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, STDERR)
        yield
    finally:
        os.dup2(saved, STDERR)
        os.close(saved)
        os.close(nothing)
