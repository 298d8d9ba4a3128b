"""From a trained network to the model file.

In: a network, its name, and the rest of its card. Out: `model.onnx`: `image: uint8 [n, 28, 28]` → `probs: float32 [n,
K]`, `score: float32 [n]` and, where the network knows M kinds of outliers, `outliers: float32 [n, M]`. Normalisation,
temperature and softmax are inside the graph; the initialisers keep their `state_dict` names, so that `restore` can take
the weights back. Parity with the network is checked first.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from inkdigit.errors import MissingExtra, ParityError
from inkdigit.measure.metrics import Metrics
from inkdigit.model.card import METADATA_KEY, OUTLIERS_OUTPUT, OUTPUTS, Calibration, Card, Ink, SelfTest
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import VERSION, prepare
from inkdigit.synth.drawn import digit
from inkdigit.training.convert import graph
from inkdigit.training.network.nets import parameters
from inkdigit.training.network.predict import Outputs
from inkdigit.types import OUTLIERS, SIDE, Floats, Gray

PARITY = 1e-4  # of a probability, between network and model file: float32 rounds to some 1e-6 over a network
PARITY_IMAGES = 64  # that the outputs are compared on: a wrong export shows on the first, and 64 take milliseconds
SELF_TEST_IMAGES = 10  # one of each digit: they are stored on the card, and answered at every load


class Answering(nn.Module):
    """A network with all steps around it, from an image to probabilities and score: the exported graph."""

    def __init__(self, net: nn.Module, temperature: float, *, classes: int) -> None:
        """Wrap `net`, whose logits are divided by `temperature`; those after the first `classes` are of outliers."""
        super().__init__()
        self.net = net
        self.temperature = temperature
        self.classes = classes

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """uint8 (N, 28, 28) → probabilities (N, K), score (N,) and, where there are any, outliers (N, M)."""
        outputs = Outputs(self.net(image.unsqueeze(1).float()) / self.temperature, self.classes)
        inside, outside = outputs.of_classes, outputs.of_outliers
        probs, score = torch.softmax(inside, 1), outputs.score
        return (probs, score, torch.softmax(outside, 1)) if outside.shape[1] else (probs, score)


def model_bytes(
    net: nn.Module,
    name: str,
    *,
    classes: tuple[str, ...],
    kind: str,
    calibration: Calibration,
    samples: Gray,
    provenance: Provenance,
) -> bytes:
    """The bytes of the model file.

    `kind` is how its images are prepared; on the first of `samples` uint8 (n, 28, 28) network and file are compared.

    Raises:
        ParityError: the file does not predict what the network does.
    """
    answering = Answering(net.cpu().float().eval(), calibration.temperature, classes=len(classes))
    model = graph.model_of(answering.net, calibration.temperature, classes=len(classes)) or _to_onnx(answering)
    drawn = drawn_pictures(kind)
    images = np.concatenate([drawn, samples[:PARITY_IMAGES]])
    with torch.no_grad():
        expected = [output.numpy() for output in answering(torch.from_numpy(images))]
    outputs = run_bytes(model.SerializeToString(), images)
    difference = max(map(_difference, outputs, expected))
    if not difference <= PARITY:  # nor if it is not a number
        raise ParityError(
            "The exported file does not predict what the network does",
            expected=f"a difference of at most {PARITY}",
            received=f"{difference:.2e}",
        )
    card = Card(
        name=name,
        classes=classes,
        prepare=kind,
        prepare_version=VERSION,
        ink=Ink.installed() if kind == "ink" else None,
        parameters=parameters(net),
        calibration=calibration,
        self_test=SelfTest(drawn, outputs[0][: len(drawn)]),
        outliers=OUTLIERS if len(outputs) > len(OUTPUTS) else (),
        provenance=provenance,
    )
    set_card(model, card)
    return bytes(model.SerializeToString())


def _difference(output: Floats, expected: Floats) -> float:
    """The largest difference, relative where a number is above 1: a score has no upper bound."""
    return float((np.abs(output - expected) / np.maximum(1, np.abs(expected))).max())


def with_figures(data: bytes, figures: dict[str, Any]) -> bytes:
    """The same model file with figures on its card; they are measured on the file, so it exists before them."""
    import onnx

    model = onnx.load_from_string(data)
    text = next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
    set_card(model, replace(Card.from_json(text, where="the model"), figures=figures))
    return bytes(model.SerializeToString())


def figures_of(metrics: Metrics) -> dict[str, Any]:
    """The figures of a measurement as a card has them."""
    return {
        "data": metrics.data,
        "part": metrics.split,
        "n": metrics.n,
        "accuracy": metrics.accuracy,
        "accuracy_ci95": list(metrics.accuracy_ci95),
        "nll": metrics.nll,
        "brier": metrics.brier,
        "ece": metrics.ece,
        "aurc": metrics.aurc,
        "coverage_at_999": metrics.coverage_at_999,
    }


def verify(recognizer: Recognizer, predict: Callable[[Gray], Floats], *, what: str) -> None:
    """Check that a file made from a model file predicts what it does: `predict` is uint8 (N, 28, 28) → probs (N, K).

    Raises:
        ParityError: it does not.
    """
    images = drawn_pictures(recognizer.prepare, PARITY_IMAGES)
    expected = run_bytes(recognizer.path.read_bytes(), images)[0]
    check_difference(recognizer, float(np.abs(predict(images) - expected).max()), allowed=PARITY, what=what)


def check_difference(recognizer: Recognizer, difference: float, *, allowed: float, what: str) -> None:
    """Check how far what a file made from a model file predicts is from what that predicts.

    Raises:
        ParityError: it is farther than allowed, or no number.
    """
    if not difference <= allowed:
        raise ParityError(
            f"The {what} does not predict what {recognizer.path} does",
            expected=f"a difference of at most {allowed}",
            received=f"{difference:.2e}",
            hint="It is not written.",
        )


def drawn_pictures(kind: str, count: int = SELF_TEST_IMAGES) -> Gray:
    """Drawn digits, 0 to 9 in turn: uint8 (count, 28, 28). The first ten are the images of the self test."""
    return _drawn(kind, count).copy()


@cache
def _drawn(kind: str, count: int) -> Gray:
    """They take 10 ms each."""
    rng = np.random.default_rng(0)
    return np.stack([prepare(digit(i % 10, rng=rng), kind) for i in range(count)])


def _to_onnx(answering: Answering) -> Any:
    example = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    outputs = (*OUTPUTS, OUTLIERS_OUTPUT)[: len(answering(example))]
    shapes = ({0: torch.export.Dim("n")},)
    # Folding batch norm would lose the weights' names.
    return to_onnx(answering, example, input_name="image", outputs=outputs, shapes=shapes, optimize=False)


def to_onnx(
    module: nn.Module, example: Tensor, *, input_name: str, outputs: Sequence[str], shapes: Any, optimize: bool
) -> Any:
    """The ONNX model of a module with one input, of which `shapes` says what may vary, without the exporter's notes.

    Raises:
        MissingExtra: onnxscript is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingExtra("Writing the model file needs onnxscript", "train") from exc
    noisy: Sequence[str] = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in noisy}
    for name in noisy:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                module,
                (example,),
                dynamo=True,
                optimize=optimize,
                opset_version=graph.OPSET,
                input_names=[input_name],
                output_names=list(outputs),
                dynamic_shapes=shapes,
                verbose=False,
            )
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert program is not None
    return _strip(program.model_proto)


def _strip(model: Any) -> Any:
    """Remove the exporter's metadata on every node, which doubles a small file, and the zero biases that it adds."""
    drop_zero_biases(model.graph)
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.producer_name, model.producer_version = "inkdigit", ""
    for entry in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
    return model


def drop_zero_biases(graph: Any) -> None:
    """Remove the zeros that the exporter adds to a convolution without bias, in the form of computed values.

    Because of them ONNX Runtime would not fold batch norms, and the network would take two to four times as long.
    """
    weights = {init.name for init in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) == 3 and node.input[2] not in weights:
            del node.input[2]
    needed = {output.name for output in graph.output}
    for node in reversed(list(graph.node)):  # nodes are sorted: one that uses a value comes after the one that makes it
        if needed.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            needed.update(node.input)


def run_bytes(data: bytes, images: Gray) -> list[Floats]:
    """The outputs of a model file for uint8 (N, 28, 28): probabilities (N, K), scores (N,), outliers (N, M)."""
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs: list[Floats] = session.run(None, {"image": images})
    return outputs


def set_card(model: Any, card: Card) -> None:
    """Write the card into the metadata of an ONNX model, in place of all that they hold."""
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, card.to_json()
