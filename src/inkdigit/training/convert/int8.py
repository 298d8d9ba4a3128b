"""From a float model file to one of 8-bit integers: a quarter of the size, and faster on processors with VNNI.

In: a recogniser and the data that it learned from. Out: the bytes of another model file, and the figures of both.
The quantisation is static, with a scale for each filter and weights of 7 bits, so that sums fit on processors without
VNNI too. Training images fix the range of each layer. The output layer and all layers after it stay float: they decide
between close classes, and take almost no time.
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
from inkdigit.measure.metrics import Metrics
from inkdigit.model.card import SelfTest
from inkdigit.model.provenance import ModelFile
from inkdigit.model.recognizer import Recognizer
from inkdigit.model.session import broken
from inkdigit.training.convert.model_file import drop_zero_biases, figures_of, run_bytes, set_card, with_figures
from inkdigit.training.convert.restore import recipe_of
from inkdigit.training.data import splits_of
from inkdigit.training.evaluate import evaluate_reported
from inkdigit.types import Dataset, Gray

IMAGES = 1000  # that fix the ranges: about a hundred of each digit
BATCH = 100  # images that go through the network at a time, to bound the memory
SEED = 0  # draws the images: the same file every time
WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")  # operators of ONNX that can become integers


@dataclass(frozen=True, eq=False)
class Quantized:
    """The int8 file, and the figures of the float file and of it on the same images."""

    data: bytes
    before: Metrics
    after: Metrics


def quantize(recognizer: Recognizer, dataset: Dataset) -> Quantized:
    """Make an int8 file and measure it on the split that the model's recipe reports on.

    Raises:
        UsageError: the file has no float weights that can become integers, or the data do not fit the model.
        MissingExtra: onnx is not installed.
    """
    unknown = [name for name in dataset.classes if name not in recognizer.classes]
    if unknown:
        raise UsageError(
            f"{dataset.name!r} has classes that {recognizer.path} does not know",
            expected=f"classes among {', '.join(recognizer.classes[:10])}",
            received=", ".join(unknown[:5]),
            hint="Name with --data what the model learned from.",
        )
    splits = splits_of(dataset, recipe_of(recognizer))
    data = int8_bytes(recognizer, choose(splits.train.images))
    before = evaluate_reported(recognizer, dataset, splits)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / runs.MODEL
        path.write_bytes(data)
        after = evaluate_reported(path, dataset, splits)  # the self test passes
    return Quantized(with_figures(data, {**figures_of(after), "float32": figures_of(before)}), before, after)


def choose(images: Gray) -> Gray:
    """The images that fix the ranges, always the same for the same data: uint8 (≤ 1000, 28, 28)."""
    return images[np.random.default_rng(SEED).permutation(len(images))[:IMAGES]]


def int8_bytes(recognizer: Recognizer, images: Gray) -> bytes:
    """The bytes of the int8 file, whose ranges `images` uint8 (N, 28, 28) fix.

    Its card is that of the float file with another self test, and names the float file. Temperature and threshold stay:
    the score means the same.

    Raises:
        UsageError: the file has no float weights, or none before its output layer.
        MissingExtra: onnx is not installed.
    """
    recipe_of(recognizer)
    model = _quantized(recognizer.path, images)
    card = recognizer.card
    test_images = card.self_test.images
    probs = run_bytes(model.SerializeToString(), test_images)[0]
    int8_card = replace(
        card,
        name=f"{card.name}-int8",
        numbers="int8",
        self_test=SelfTest(test_images, probs),
        figures={},
        provenance=replace(card.provenance, made_from=(ModelFile.of(recognizer.path),)),
    )
    set_card(model, int8_card)
    return bytes(model.SerializeToString())


class _Batches:
    """Images in the form that ONNX Runtime reads: a batch per call, then None."""

    def __init__(self, images: Gray) -> None:
        self._batches = iter([images[i : i + BATCH] for i in range(0, len(images), BATCH)])

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
        output = max((i for i, node in enumerate(nodes) if node.op_type in WITH_WEIGHTS), default=0)
        if not any(node.op_type in WITH_WEIGHTS for node in nodes[:output]):
            raise UsageError(
                f"{path} has no layer that can become integers",
                expected="a convolution or a dense layer before the output layer, which stays float",
            )
        with _without_advice():
            quantize_static(
                folded,
                out,
                _Batches(images),
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
    """A folder for files that ONNX Runtime writes and reads again.

    Raises:
        OutputError: there is no room for it.
    """
    place = Path(tempfile.gettempdir())
    try:
        with writing(place), tempfile.TemporaryDirectory() as folder:
            yield folder
    except broken() as exc:  # the network ran before, so writing it is what fails
        raise OutputError(f"Temporary files cannot be written in {place} ({exc})") from exc


@contextmanager
def _without_advice() -> Iterator[None]:
    """Hide what the quantiser writes to the root logger: advice about nodes that the user never sees.

    It calls functions of `logging` that give the root logger a handler for good where it has none. Inside this block it
    has one that does nothing.
    """
    root = logging.getLogger()
    folder = str(Path(ort.__file__).parent)

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
    """The same network with its batch norms folded into its convolutions, as ONNX Runtime runs it."""
    import onnx
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    drop_zero_biases(model.graph)  # a file of an earlier release has some
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / "folded.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    folded = onnx.load(folder / "folded.onnx")
    standard = [entry for entry in folded.opset_import if not entry.domain]
    del folded.opset_import[:], folded.metadata_props[:]
    folded.opset_import.extend(standard)  # ONNX Runtime's own operators are not used
    add_pre_process_metadata(folded)  # without it the quantiser warns that this was not done
    return folded
