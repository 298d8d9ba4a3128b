"""The training of the ink network: a few steps of it, going on from a checkpoint, and the exported file."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch

from inkdigit.picture.photo.network import METADATA_KEY, VERSION
from inkdigit.training.ink import train as training
from inkdigit.training.ink.export import export
from inkdigit.training.ink.net import InkNet, even
from inkdigit.types import Part

from ...conftest import template


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(training, "BANK_SIZE", 40)
    monkeypatch.setattr(training, "BATCH", 4)
    monkeypatch.setattr(training, "SHAPES", ((48, 64),))
    monkeypatch.setattr(training, "SHAPE_SHARES", (1.0,))
    monkeypatch.setattr(training, "SAVE_STEPS", 2)
    monkeypatch.setattr(training, "LOG_STEPS", 2)


DIGITS = Part(np.stack([template(i) for i in range(10)]), np.arange(10))


def weights(net: InkNet) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in net.state_dict().items()}


@pytest.mark.slow
def test_a_training_goes_on_from_its_checkpoint_and_its_file_gives_what_the_network_gives(tmp_path):
    lines: list[str] = []
    training.train(DIGITS, tmp_path, steps=4, seed=0, log=lines.append)
    assert lines[-1].startswith("Step 4 of 4: loss ")
    longer = training.train(DIGITS, tmp_path, steps=6, seed=0)
    data = export(tmp_path)
    assert len(data) < 400_000
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert card == {"version": VERSION, "step": 6}
    gray = np.random.default_rng(1).integers(0, 256, (64, 96)).astype(np.uint8)
    shares = session.run(None, {"gray": gray})[0]
    with torch.no_grad():
        expected = torch.softmax(longer.eval()(torch.from_numpy(gray)[None, None].float()), 1)[0].numpy()
    assert np.abs(shares - expected).mean() < 0.01


def test_the_loss_is_lowest_for_the_true_shares():
    truth = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    truth[0, 1, :2] = 255
    right = torch.zeros(1, 4, 4, 4)
    right[0, 2, :2], right[0, 0, 2:] = 9, 9
    assert training.loss_of(right, truth) < 0.01 < training.loss_of(torch.zeros(1, 4, 4, 4), truth)


def test_the_input_is_evened_whatever_the_brightness():
    gray = torch.rand(1, 1, 64, 64) * 100
    darker, same = even(gray), even(gray * 2 + 20)
    assert torch.allclose(darker[:, 0], same[:, 0], atol=1e-3)
    assert even(torch.full((1, 1, 64, 64), 7.0)).abs().max() < 1e-3
