"""Calibration: the temperature that was put in is found, the threshold lets the stated share through."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from inkdigit.model.card import Calibration
from inkdigit.training.calibrate import KEEPS, MIN_PICTURES, calibrate, fit_temperature
from inkdigit.training.loop import Tensors


class Linear(nn.Module):
    """A network of one layer, on pixels 0–255."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(28 * 28, 4, generator=torch.Generator().manual_seed(0)) * scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) / 255 @ self.weight


def labelled(logits: torch.Tensor) -> torch.Tensor:
    """Labels drawn from the distribution that `logits` (N, K) state: perfectly calibrated."""
    generator = torch.Generator().manual_seed(1)
    return torch.multinomial(torch.softmax(logits, 1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_recovers_a_known_scale(scale):
    honest = torch.randn(20_000, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    assert fit_temperature(honest * scale, labelled(honest)) == pytest.approx(scale, rel=0.03)


def test_too_few_pictures_leave_the_model_as_it_is():
    few = Tensors(torch.zeros(MIN_PICTURES - 1, 28, 28, dtype=torch.uint8), torch.zeros(MIN_PICTURES - 1).long())
    assert calibrate(Linear(1), few, classes=3, fitted_on="few") == Calibration()


def test_the_threshold_keeps_the_stated_share():
    images = torch.randint(0, 256, (3000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    net = Linear(0.1)
    logits = net(images.float()).detach()
    found = calibrate(net, Tensors(images, labelled(logits / 2)), classes=logits.shape[1], fitted_on="3,000 pictures")
    assert found.temperature == pytest.approx(2, rel=0.1)
    assert (found.keeps, found.fitted_on) == (KEEPS, "3,000 pictures")
    assert found.accept_score is not None
    score = torch.logsumexp(logits / found.temperature, 1)
    assert float((score >= found.accept_score).float().mean()) == pytest.approx(KEEPS, abs=0.0005)
