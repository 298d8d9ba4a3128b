"""Calibration: the temperature that was put in is found, the threshold lets the stated share through."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inkdigit.model.card import Calibration
from inkdigit.training.convert.calibrate import (
    KEEPS,
    KEEPS_STRESSED,
    MIN_COPIES,
    MIN_PICTURES,
    calibrate,
    fit_temperature,
    stressed_copies,
)
from inkdigit.training.convert.export import score_of
from inkdigit.training.network.loop import Tensors
from inkdigit.training.recipe import Recipe
from inkdigit.types import Part

from ...conftest import template


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


def test_the_threshold_goes_down_for_photographed_pictures_that_are_read_right():
    images = torch.randint(0, 256, (3000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    net = Linear(0.1)
    logits = net(images.float()).detach()
    held_out = Tensors(images, labelled(logits[:, :3] / 2))
    plain = calibrate(net, held_out, classes=3, fitted_on="them")
    low = images[score_of(logits, 3).argsort()[:MIN_COPIES]]
    best = net(low.float()).detach()[:, :3].argmax(1)
    found = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low, best))
    assert found.accept_score is not None
    assert plain.accept_score is not None
    assert found.accept_score < plain.accept_score
    score = score_of(net(low.float()).detach() / found.temperature, 3)
    assert float((score >= found.accept_score).float().mean()) == pytest.approx(KEEPS_STRESSED, abs=0.01)
    assert found.fitted_on == "them, and 97 % of 100 of them that are read right as photographed"
    assert (found.temperature, found.keeps) == (plain.temperature, plain.keeps)
    few = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low[1:], best[1:]))
    assert few == plain
    wrong = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low, (best + 1) % 3))
    assert wrong == plain


@pytest.mark.parametrize(("changes", "there"), [({}, False), ({"stressed": 1.0}, False), ({"outliers": 9}, False)])
def test_only_networks_that_learnt_photographed_pictures_and_outliers_are_asked_of_them(changes, there):
    part = Part(np.stack([template(0)] * MIN_PICTURES), np.zeros(MIN_PICTURES, int))
    recipe = Recipe.from_fields({"filters": [4], **changes})
    assert (stressed_copies(part, recipe) is not None) is there


def test_photographed_copies_keep_their_labels_and_leave_the_pictures_out():
    labels = np.arange(MIN_PICTURES) % 10
    part = Part(np.stack([template(label) for label in labels]), labels)
    recipe = Recipe.from_fields({"filters": [4], "stressed": 0.5, "outliers": 9})
    copies = stressed_copies(part, recipe)
    assert copies is not None
    assert 0.95 * MIN_PICTURES <= len(copies.images) <= MIN_PICTURES
    assert (np.bincount(copies.labels) > MIN_PICTURES // 15).all()
    assert not (copies.images[:10].numpy() == part.images[:10]).all()
    assert stressed_copies(part.take(np.arange(9)), recipe) is None


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
