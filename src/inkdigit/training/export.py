"""From a trained network to the one-file model.

In: network, recipe, what the card shall say. Out: `model.onnx`: `image: uint8 [n, 28, 28]` → `probs: float32 [n, K]`
and `score: float32 [n]`. Normalisation, temperature and softmax are inside the graph; the initialisers keep their
`state_dict` names, so that `restore` can take the weights back. Parity with the network is checked first.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn

from inkdigit.data.drawn import digit
from inkdigit.errors import MissingExtra, ParityError
from inkdigit.model.card import METADATA_KEY, Calibration, Card, SelfTest
from inkdigit.picture.prepare import VERSION, prepare
from inkdigit.training.nets import parameters
from inkdigit.training.recipe import Recipe
from inkdigit.types import SIDE, Floats, Gray

PARITY = 1e-4  # of a probability, between network and model file
SELF_TEST_PICTURES = 10
OPSET = 18


class Answering(nn.Module):
    """A network with everything around it that turns a picture into an answer."""

    def __init__(self, net: nn.Sequential, temperature: float) -> None:
        """Wrap `net`, whose logits are divided by `temperature`."""
        super().__init__()
        self.net = net
        self.temperature = temperature

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 (N, 28, 28) → probabilities (N, K) and score (N,)."""
        logits = self.net(image.unsqueeze(1).float()) / self.temperature
        return torch.softmax(logits, 1), torch.logsumexp(logits, 1)


def model_bytes(
    net: nn.Sequential,
    recipe: Recipe,
    *,
    classes: tuple[str, ...],
    kind: str,
    calibration: Calibration,
    samples: Gray,
    provenance: dict[str, Any],
) -> bytes:
    """The bytes of the model file.

    `kind` is the door that its pictures pass; `samples` uint8 (n, 28, 28) are what parity is checked on.

    Raises:
        ParityError: the file answers otherwise than the network.
    """
    answering = Answering(net.cpu().float().eval(), calibration.temperature)
    model = _to_onnx(answering)
    drawn = drawn_pictures(kind)
    images = np.concatenate([drawn, samples])
    with torch.no_grad():
        expected = [output.numpy() for output in answering(torch.from_numpy(images))]
    probs, score = _answers(model.SerializeToString(), images)
    # A score has no upper bound: it is compared by its share.
    off = max(
        float(np.abs(probs - expected[0]).max()),
        float((np.abs(score - expected[1]) / np.maximum(1, np.abs(expected[1]))).max()),
    )
    if not off <= PARITY:
        raise ParityError(
            "The exported file answers otherwise than the network", expected=f"within {PARITY}", received=f"{off:.2e}"
        )
    card = Card(
        name=recipe.name,
        classes=classes,
        prepare=kind,
        prepare_version=VERSION,
        parameters=parameters(net),
        calibration=calibration,
        self_test=SelfTest(drawn, probs[: len(drawn)]),
        provenance=provenance,
    )
    _set_card(model, card)
    return bytes(model.SerializeToString())


def with_figures(data: bytes, figures: dict[str, Any]) -> bytes:
    """The same model file with measured figures on its card: they are measured on the file itself."""
    import onnx

    model = onnx.load_from_string(data)
    text = next(entry.value for entry in model.metadata_props if entry.key == METADATA_KEY)
    _set_card(model, replace(Card.from_json(text, where="the model"), figures=figures))
    return bytes(model.SerializeToString())


def drawn_pictures(kind: str) -> Gray:
    """The pictures of the self test: the ten digits as we draw them, uint8 (10, 28, 28)."""
    rng = np.random.default_rng(0)
    return np.stack([prepare(digit(i % 10, rng=rng), kind) for i in range(SELF_TEST_PICTURES)])


def _to_onnx(answering: Answering) -> Any:
    try:
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as exc:
        raise MissingExtra("Writing the model file needs onnxscript", "train") from exc
    example = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    noisy: Sequence[str] = ("torch.onnx", "onnxscript", "onnx_ir")
    levels = {name: logging.getLogger(name).level for name in noisy}
    for name in noisy:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                answering,
                (example,),
                dynamo=True,
                optimize=False,  # folding batch norm would lose the weights' names
                opset_version=OPSET,
                input_names=["image"],
                output_names=["probs", "score"],
                dynamic_shapes={"image": {0: torch.export.Dim("n")}},
                verbose=False,
            )
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
    assert program is not None
    return _strip(program.model_proto)


def _strip(model: Any) -> Any:
    """Remove the exporter's notes on every node, which double a small file."""
    del model.metadata_props[:], model.graph.value_info[:], model.graph.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    model.producer_name, model.producer_version = "inkdigit", ""
    for entry in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del entry.metadata_props[:]
        entry.doc_string = ""
    return model


def _answers(data: bytes, images: Gray) -> tuple[Floats, Floats]:
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    probs, score = session.run(["probs", "score"], {"image": images})
    return probs, score


def _set_card(model: Any, card: Card) -> None:
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, card.to_json()
