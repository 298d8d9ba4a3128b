"""Calibration: a known temperature is recovered, the threshold has the stated coverage."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from inkdigit.model.card import Calibration
from inkdigit.training.convert import calibrate as calibration
from inkdigit.training.convert.calibrate import (
    COVERAGE,
    COVERAGE_STRESSED,
    COVERAGE_WITH_OUTLIERS,
    MIN_CONFIDENCE,
    MIN_COPIES,
    MIN_IMAGES,
    calibrate,
    calibrate_run,
    fit_temperature,
    stressed_copies,
)
from inkdigit.training.data import splits_of
from inkdigit.training.network import nets
from inkdigit.training.network.loop import Tensors
from inkdigit.training.network.predict import score_of
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Part

from ...conftest import template
from ..conftest import CLASSES, draw, tiny


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


def test_too_few_images_leave_the_model_uncalibrated():
    few = Tensors(torch.zeros(MIN_IMAGES - 1, 28, 28, dtype=torch.uint8), torch.zeros(MIN_IMAGES - 1).long())
    assert calibrate(Linear(1), few, classes=3, fitted_on="few") == Calibration()


def test_the_threshold_is_lowered_for_stressed_copies_that_are_classified_correctly():
    images = torch.randint(0, 256, (3000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    net = Linear(0.1)
    logits = net(images.float()).detach()
    held_out = Tensors(images, labelled(logits[:, :3] / 2))
    plain = calibrate(net, held_out, classes=3, fitted_on="them")
    low = images[score_of(logits, 3).argsort()[:MIN_COPIES]]
    best = net(low.float()).detach()[:, :3].argmax(1)
    fitted = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low, best))
    assert fitted.accept_score is not None
    assert plain.accept_score is not None
    assert fitted.accept_score < plain.accept_score
    score = score_of(net(low.float()).detach() / fitted.temperature, 3)
    assert float((score >= fitted.accept_score).float().mean()) == pytest.approx(COVERAGE_STRESSED, abs=0.01)
    assert fitted.fitted_on == "them, and 95 % of 100 of them that are read right as photographed"
    assert (fitted.temperature, fitted.keeps) == (plain.temperature, plain.keeps)
    few = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low[1:], best[1:]))
    assert few == plain
    wrong = calibrate(net, held_out, classes=3, fitted_on="them", stressed=Tensors(low, (best + 1) % 3))
    assert wrong == plain


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    """As many images as are enough here: each copy takes a hundredth of a second."""
    monkeypatch.setattr(calibration, "MIN_IMAGES", 90)
    return 90


@pytest.mark.parametrize(
    ("changes", "some"),
    [({}, False), ({"stressed": 1.0}, False), ({"outliers": 9}, False), ({"stressed": 1.0, "outliers": 9}, True)],
)
def test_stressed_copies_are_made_for_networks_that_learned_from_such_and_from_outliers(changes, some, few):
    part = Part(np.stack([template(0)] * few), np.zeros(few, int))
    recipe = Recipe.from_fields({"filters": [4], **changes})
    assert (stressed_copies(part, recipe) is not None) is some


@pytest.fixture(scope="module")
def many() -> Dataset:
    """Enough images to fit a temperature on."""
    few = draw(60)
    return Dataset("many", CLASSES, few.take(np.arange(900) % 60), draw(10, seed=1))


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nets.build(tiny(), len(CLASSES)).eval()


def of_run(net: nn.Module, data: Dataset, **fields: object) -> Calibration:
    recipe = tiny(**fields)
    return calibrate_run(net, recipe, data, splits_of(data, recipe))


def test_a_run_fits_its_calibration_on_what_it_held_out(many, net):
    fitted = of_run(net, many, validation=600, temperature=1.3, accept_score=2.5, calibrated_on="other data")
    assert fitted.fitted_on == "600 held-out training images"
    assert fitted.accept_score not in (None, 2.5)
    assert fitted.temperature not in (1, 1.3)


def test_a_final_run_takes_over_what_its_twin_fitted_on_the_same_data(many, drawn, net):
    twin = {"temperature": 1.3, "accept_score": 2.5, "calibrated_on": many.sha256}
    taken = of_run(net, many, **twin)
    assert (taken.temperature, taken.accept_score, taken.min_confidence) == (1.3, 2.5, 0)
    assert of_run(net, many, **twin, outliers=9).min_confidence == MIN_CONFIDENCE
    assert "twin" in taken.fitted_on
    assert of_run(net, many, **twin, validation=600) == taken  # so none of these data is held out
    assert of_run(net, drawn, **twin) == Calibration()  # other data
    assert of_run(net, many) == Calibration()


def test_stressed_copies_have_the_labels_of_the_images_and_do_not_contain_them(few):
    labels = np.arange(few) % 10
    part = Part(np.stack([template(label) for label in labels]), labels)
    recipe = Recipe.from_fields({"filters": [4], "stressed": 0.5, "outliers": 9})
    copies = stressed_copies(part, recipe)
    assert copies is not None
    assert 0.95 * few <= len(copies.images) <= few
    assert (np.bincount(copies.labels) > few // 15).all()
    assert not (copies.images[:10].numpy() == part.images[:10]).all()
    assert stressed_copies(part.take(np.arange(9)), recipe) is None


def test_the_threshold_has_the_stated_coverage():
    images = torch.randint(0, 256, (3000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    net = Linear(0.1)
    logits = net(images.float()).detach()
    fitted = calibrate(net, Tensors(images, labelled(logits / 2)), classes=logits.shape[1], fitted_on="3,000 pictures")
    assert fitted.temperature == pytest.approx(2, rel=0.1)
    assert (fitted.keeps, fitted.fitted_on) == (COVERAGE, "3,000 pictures")
    assert fitted.accept_score is not None
    score = torch.logsumexp(logits / fitted.temperature, 1)
    assert float((score >= fitted.accept_score).float().mean()) == pytest.approx(COVERAGE, abs=0.0005)


def test_a_network_that_knows_outliers_has_a_minimum_confidence_and_rejects_more():
    images = torch.randint(0, 256, (3000, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    net = Linear(0.1)
    logits = net(images.float()).detach()
    fitted = calibrate(net, Tensors(images, labelled(logits[:, :3] / 2)), classes=3, fitted_on="3,000 images")
    assert (fitted.keeps, fitted.min_confidence) == (COVERAGE_WITH_OUTLIERS, MIN_CONFIDENCE)
    score = score_of(logits / fitted.temperature, 3)
    assert float((score >= fitted.accept_score).float().mean()) == pytest.approx(COVERAGE_WITH_OUTLIERS, abs=0.0005)
