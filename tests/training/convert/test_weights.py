"""Weights and programs for PyTorch: read back by its own tools, they predict what the model file does."""

from __future__ import annotations

import io
import json
import tomllib

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from inkdigit.errors import ParityError
from inkdigit.model.card import Card
from inkdigit.training.convert.weights import pt2_bytes, safetensors_bytes
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe

from ..conftest import draw


def test_the_weights_rebuild_the_network(finished, tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes(safetensors_bytes(finished.model))
    with safe_open(path, "pt") as file:
        about = file.metadata()
    classes = json.loads(about["classes"])
    assert classes == ["0", "1", "2"]
    assert Card.from_json(about["inkdigit.card"], where="here").name == "tiny"
    net = nets.build(Recipe.from_fields(tomllib.loads(about["recipe"])), len(classes))
    net.load_state_dict(load_file(path))
    images = draw(8, seed=5).images
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(images).unsqueeze(1).float())
    probs = torch.softmax(logits / finished.model.card.calibration.temperature, 1)
    assert np.abs(probs.numpy() - [p.probs for p in finished.model.predict(images)]).max() < 1e-4


@pytest.fixture(scope="module")
def program(finished) -> bytes:
    return pt2_bytes(finished.model)


@pytest.mark.parametrize("n", [1, 5])
def test_the_program_answers_as_the_file_does_for_any_number_of_images(finished, program, n):
    images, extra = draw(n, seed=6).images, {"inkdigit.card.json": ""}
    loaded = torch.export.load(io.BytesIO(program), extra_files=extra)
    probs, score = loaded.module()(torch.from_numpy(images))
    answers = finished.model.predict(images)
    assert np.abs(probs.detach().numpy() - [p.probs for p in answers]).max() < 1e-4
    assert score.detach().numpy() == pytest.approx([p.score for p in answers], abs=1e-3)
    assert json.loads(extra["inkdigit.card.json"])["classes"] == ["0", "1", "2"]


@pytest.mark.parametrize(("write", "what"), [(pt2_bytes, "exported program"), (safetensors_bytes, "safetensors file")])
def test_what_answers_otherwise_is_not_handed_out(contradicted, write, what):
    with pytest.raises(ParityError, match=rf"{what} does not predict what .* at most 0\.0001"):
        write(contradicted)


def test_a_lost_weight_is_an_error(finished, monkeypatch):
    def spoilt(tensors, about):
        return save(
            {name: value * 0.9 if value.is_floating_point() else value for name, value in tensors.items()}, about
        )

    monkeypatch.setattr("safetensors.torch.save", spoilt)
    with pytest.raises(ParityError, match="safetensors file does not predict"):
        safetensors_bytes(finished.model)
