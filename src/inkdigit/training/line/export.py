"""From the trained line reader to a model file.

In: a trained network, and lines that trained nothing. Out: ONNX, `line: uint8 [n, 2, 48, w]` → `log_probs: float32
[n, w / 4, 1 + A]`, with a card. Batch norm is folded, each weight is one byte. The temperature makes the texts of the
lines that trained nothing most likely.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor, nn

from inkdigit.errors import ParityError
from inkdigit.model.card import LINE_OUTPUT, Calibration, Card, Ink, SelfTest
from inkdigit.model.provenance import Provenance
from inkdigit.model.schema import LINE
from inkdigit.reading.view import VERSION
from inkdigit.training.convert.model_file import set_card, to_onnx
from inkdigit.training.convert.packed import fold, pack
from inkdigit.training.line.net import LineNet
from inkdigit.training.line.pools import Pool
from inkdigit.training.line.train import batches, loss_of
from inkdigit.types import ALPHABET, Floats, Gray

MIN_CONFIDENCE = 0.2  # of a whole number: what is less probable says nothing
SELF_TEST_LINES = 3
TEMPERATURES = np.exp(np.linspace(-0.7, 1.2, 39))  # that are tried
PARITY_MEAN, PARITY_MAX = 0.01, 0.5  # of a probability: what one byte a weight may change


class Answering(nn.Module):
    """The network with its temperature: the exported graph."""

    def __init__(self, net: LineNet, temperature: float) -> None:
        """Wrap `net`, whose log probabilities are divided by `temperature`."""
        super().__init__()
        self.net, self.temperature = net, temperature

    def forward(self, views: Tensor) -> Tensor:
        """uint8 (N, 2, 48, W) → log probabilities (N, W / 4, 1 + A)."""
        return torch.log_softmax(self.net(views) / self.temperature, 2)


def export(net: LineNet, held_out: Pool, *, name: str, provenance: Provenance) -> bytes:
    """The bytes of the model file; `held_out` are lines that trained nothing. Batch norms of `net` are folded.

    Raises:
        ParityError: it does not give what the network gives.
    """
    parameters = sum(p.numel() for p in net.parameters())
    model, answering, views = graph_of(net, held_out)
    pack(model)
    probs = checked(model.SerializeToString(), answering, views)
    card = Card(
        name=name,
        classes=tuple(ALPHABET),
        prepare="line",
        prepare_version=VERSION,
        parameters=parameters,
        calibration=Calibration(
            temperature=round(answering.temperature, 4),
            accept_score=MIN_CONFIDENCE,
            fitted_on=f"{len(held_out.texts)} composed lines that trained nothing",
        ),
        self_test=SelfTest(views, probs.reshape(-1, probs.shape[2])),
        numbers="int8 weights",
        ink=Ink.installed(),
        provenance=provenance,
        task=LINE,
    )
    set_card(model, card)
    return bytes(model.SerializeToString())


def graph_of(net: LineNet, held_out: Pool) -> tuple[onnx.ModelProto, Answering, Gray]:
    """The graph of a network with its temperature, what it computes, and lines (N, 2, H, W) to compare both."""
    net.eval()
    temperature = _temperature(net, held_out)
    fold(net)
    answering, views = Answering(net, temperature).eval(), _example(held_out)
    sides = {0: torch.export.Dim("n"), 3: torch.export.Dim("sixteenths", min=1, max=64) * 16}
    example = torch.from_numpy(views)
    model = to_onnx(answering, example, input_name="line", outputs=[LINE_OUTPUT], shapes=(sides,), optimize=True)
    return model, answering, views


def _example(pool: Pool) -> Gray:
    """A few lines of one width, for the self test."""
    each = sorted(pool.each(), key=lambda seen: seen.shape[2])
    first = len(each) // 4
    some = each[first : first + SELF_TEST_LINES]
    width = max(seen.shape[2] for seen in some)
    return np.stack([np.pad(seen, ((0, 0), (0, 0), (0, width - seen.shape[2]))) for seen in some])


def _temperature(net: LineNet, pool: Pool) -> float:
    """The temperature under which the texts of a pool are most likely."""
    loss = np.zeros(len(TEMPERATURES))
    with torch.no_grad():
        for batch in batches([pool], None):
            log_probs = net(batch.views)
            loss += [
                float(loss_of(torch.log_softmax(log_probs / temperature, 2), batch, reduction="sum"))
                for temperature in TEMPERATURES
            ]
    return float(TEMPERATURES[loss.argmin()])


def checked(data: bytes, answering: Answering, views: Gray) -> Floats:
    """The probabilities that the file gives for views (N, 2, H, W).

    Raises:
        ParityError: they are not those of the network.
    """
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    with torch.no_grad():
        expected = np.exp(answering(torch.from_numpy(views)).numpy())
    probs = np.exp(np.asarray(session.run(None, {"line": views})[0], np.float32))
    away = np.abs(probs - expected)
    if not (away.mean() <= PARITY_MEAN and away.max() <= PARITY_MAX):
        raise ParityError(
            "The exported line reader does not give what the trained one gives",
            expected=f"differences of {PARITY_MEAN} on average and {PARITY_MAX} at most",
            received=f"{away.mean():.4f}, {away.max():.4f}",
        )
    return probs
