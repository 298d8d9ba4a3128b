"""From a float model file to one of 8-bit integers: a quarter of the size, and faster on processors with VNNI.

In: a recogniser and the data that it learnt from. Out: the bytes of another model file, and the figures of both.
The quantisation is static, with a scale for each filter and weights of 7 bits, so that sums fit on processors without
VNNI too. Training pictures fix the range of each layer. The output layer and all behind it stay float: they decide
between close classes, and take next to no time.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import inkdigit.runs as runs
from inkdigit.errors import MissingExtra, OutputError, UsageError
from inkdigit.files import writing
from inkdigit.model.card import SelfTest
from inkdigit.model.provenance import ModelFile
from inkdigit.model.recognizer import Recognizer
from inkdigit.model.session import broken
from inkdigit.training.convert.export import drop_zero_biases, figures_of, run_bytes, set_card, with_figures
from inkdigit.training.convert.restore import recipe_of
from inkdigit.training.data import splits_of
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.types import Dataset, Gray, Metrics

PICTURES = 1000  # that fix the ranges
AT_A_TIME = 100
SEED = 0  # draws them
WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class Quantized:
    """The int8 file, and what the float file and it come to on the same pictures."""

    data: bytes
    before: Metrics
    after: Metrics


def quantize(recognizer: Recognizer, dataset: Dataset) -> Quantized:
    """Make an int8 file and measure it on the part that the model's recipe reports on.

    Raises:
        UsageError: the file has no float weights or none to make integers of, or the data do not suit the model.
        MissingExtra: onnx is not installed.
    """
    unknown = [name for name in dataset.classes if name not in recognizer.classes]
    if unknown:
        raise UsageError(
            f"{dataset.name!r} has classes that {recognizer.path} does not know",
            expected=f"classes among {', '.join(recognizer.classes[:10])}",
            received=", ".join(unknown[:5]),
            hint="Say with --data what the model learnt from.",
        )
    parts = splits_of(dataset, recipe_of(recognizer))
    data = int8_bytes(recognizer, choose(parts.train.images))
    before = evaluate_reported(recognizer, dataset, parts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        path.write_bytes(data)
        after = evaluate_reported(path, dataset, parts)  # the self test passes
    return Quantized(with_figures(data, {**figures_of(after), "float32": figures_of(before)}), before, after)


def choose(images: Gray) -> Gray:
    """The pictures that fix the ranges, always the same of the same data: uint8 (≤ 1000, 28, 28)."""
    return images[np.random.default_rng(SEED).permutation(len(images))[:PICTURES]]


def int8_bytes(recognizer: Recognizer, images: Gray) -> bytes:
    """The bytes of the int8 file, its ranges fixed by `images` uint8 (N, 28, 28).

    Its card is that of the float file with a self test of its own, and names the float file. Temperature and threshold
    are taken over: the score means the same.

    Raises:
        UsageError: the file has no float weights, or none before its output layer.
        MissingExtra: onnx is not installed.
    """
    recipe_of(recognizer)
    model = _quantized(recognizer.path, images)
    card, pictures = recognizer.card, recognizer.card.self_test.images
    probs = run_bytes(model.SerializeToString(), pictures)[0]
    named = replace(
        card,
        name=f"{card.name}-int8",
        numbers="int8",
        self_test=SelfTest(pictures, probs),
        figures={},
        provenance=replace(card.provenance, made_from=(ModelFile.of(recognizer.path),)),
    )
    set_card(model, named)
    return bytes(model.SerializeToString())


class _Pictures:
    """Pictures as ONNX Runtime asks for them: a batch a call, then None."""

    def __init__(self, images: Gray) -> None:
        self._batches = iter([images[i : i + AT_A_TIME] for i in range(0, len(images), AT_A_TIME)])

    def get_next(self) -> dict[str, Gray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"image": batch}


def _quantized(path: Path, images: Gray) -> Any:
    """The network as an ONNX model with integers, without a card."""
    try:
        import onnx
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    except ModuleNotFoundError as exc:
        raise MissingExtra(f"Writing an int8 file needs {exc.name}", "train") from exc
    with _temporary_folder() as folder:
        out = Path(folder) / "int8.onnx"
        folded = _folded(onnx.load(path), Path(folder))
        nodes = list(folded.graph.node)
        output = max(i for i, node in enumerate(nodes) if node.op_type == "Gemm")
        if not any(node.op_type in WITH_WEIGHTS for node in nodes[:output]):
            raise UsageError(
                f"{path} has no layer to make integers of",
                expected="a convolution or a dense layer before the output layer, which stays float",
            )
        with _without_advice():
            quantize_static(
                folded,
                out,
                _Pictures(images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=[node.name for node in nodes[output:]],
            )
        model = onnx.load(out)
    model.producer_name, model.producer_version = "inkdigit", ""
    return model


@contextmanager
def _temporary_folder() -> Iterator[str]:
    """A folder for what ONNX Runtime writes and reads again.

    Raises:
        OutputError: there is no room for it.
    """
    place = Path(tempfile.gettempdir())
    try:
        with writing(place), tempfile.TemporaryDirectory() as folder:
            yield folder
    except broken() as exc:  # the network ran before, so that what fails is writing it
        raise OutputError(f"Temporary files cannot be written in {place} ({exc})") from exc


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep what the quantiser says to the root logger from the user, for whom it is about nodes that he never sees.

    It speaks by functions of `logging` that give the root logger a handler where it has none: for good. One that does
    nothing is there meanwhile.
    """
    root, folder = logging.getLogger(), str(Path(ort.__file__).parent)

    def is_other(record: logging.LogRecord) -> bool:
        return not record.pathname.startswith(folder)

    nothing = logging.NullHandler()
    root.addHandler(nothing)
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeFilter(is_other)
        root.removeHandler(nothing)


def _folded(model: Any, folder: Path) -> Any:
    """The same network with its batch norms inside its convolutions, as ONNX Runtime would run it."""
    import onnx
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    drop_zero_biases(model.graph)  # a file of an earlier release has them
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(folder / "folded.onnx")
    standard = [entry for entry in folded.opset_import if not entry.domain]
    del folded.opset_import[:], folded.metadata_props[:]
    folded.opset_import.extend(standard)  # ONNX Runtime's own operators are not used
    add_pre_process_metadata(folded)  # else it warns that this was not done
    return folded
