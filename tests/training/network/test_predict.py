"""What a network predicts: the class, the confidence, the score and the rejection are those of the exported file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert import model_file
from inkdigit.training.network import nets
from inkdigit.training.network.predict import EVALUATE_BATCH, Outputs, predict
from inkdigit.types import OUTLIERS

from ..conftest import CLASSES, draw, fit, tiny

LOGITS = torch.tensor([[2.0, 0.0, 0.0, 1.0], [0.0, 0.5, 0.0, 3.0], [0.0, 0.0, 9.0, 9.0]])  # (3, 3 + 1)


@pytest.mark.parametrize("outliers", [0, 5])
def test_it_is_judged_as_the_exported_file_judges_it(easy, tmp_path, outliers):
    recipe, images = tiny(outliers=outliers, epochs=1), draw(90, seed=4).images
    net = fit(recipe, easy)[0].net
    outputs = predict(net, torch.from_numpy(images), classes=len(CLASSES)).at(0.7)
    path = tmp_path / "m.onnx"
    path.write_bytes(
        model_file.model_bytes(
            net,
            "tiny",
            classes=CLASSES,
            kind="ink",
            calibration=Calibration(0.7),
            samples=images,
            provenance=Provenance(recipe=recipe.to_toml()),
        )
    )
    card, model = Recognizer.load(path).card, onnx.load(path)
    for rejects_by, calibration in {
        "nothing": Calibration(0.7),
        "score": Calibration(0.7, float(outputs.score.median()) + 1e-3, 0.5, "", 0.0),
        "confidence": Calibration(0.7, None, None, "", float(outputs.confidence.median()) + 1e-3),
    }.items():
        model_file.set_card(model, replace(card, calibration=calibration))
        path.write_bytes(model.SerializeToString())
        predictions = Recognizer.load(path).predict(images)
        assert outputs.best.tolist() == [p.best for p in predictions]
        assert np.allclose(outputs.confidence, [p.confidence for p in predictions], atol=1e-4)
        assert np.allclose(outputs.score, [p.score for p in predictions], atol=1e-3)
        accepted = outputs.accepted(calibration).tolist()
        assert accepted == [p.label is not None for p in predictions], rejects_by
        assert all(accepted) if rejects_by == "nothing" else 30 < sum(accepted) < 60


def test_an_outlier_output_is_never_the_class_but_lowers_the_score():
    outputs = Outputs(LOGITS, classes=3)
    assert outputs.best.tolist() == [0, 1, 2]
    assert outputs.of_outliers.tolist() == [[1.0], [3.0], [9.0]]
    expected = LOGITS[:, :3].logsumexp(1) - LOGITS[:, 3]
    assert torch.allclose(outputs.score, expected)
    assert torch.allclose(Outputs(LOGITS[:, :3], classes=3).score, LOGITS[:, :3].logsumexp(1))


def test_a_temperature_changes_the_confidence_and_not_the_class():
    outputs = Outputs(LOGITS, classes=3)
    assert outputs.at(4.0).best.tolist() == outputs.best.tolist()
    assert (outputs.at(4.0).confidence < outputs.confidence).all()
    assert outputs.take(torch.tensor([2])).best.tolist() == [2]


def test_many_images_are_answered_as_few_are_and_the_network_is_left_in_evaluation_mode():
    net = nets.build(tiny(filters=(2,), outliers=3), 3).train()
    images = torch.randint(0, 256, (EVALUATE_BATCH + 3, 28, 28), dtype=torch.uint8)
    outputs = predict(net, images, classes=3)
    assert outputs.logits.shape == (EVALUATE_BATCH + 3, 3 + len(OUTLIERS))
    assert not net.training
    assert torch.allclose(outputs.logits[-3:], predict(net, images[-3:], classes=3).logits, atol=1e-5)
    assert outputs.precise().logits.dtype == torch.float64
