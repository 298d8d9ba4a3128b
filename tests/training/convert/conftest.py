"""Model files of all kinds of layers, and some with another card than the one they were written with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert import model_file
from inkdigit.training.convert.restore import recipes_of
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe
from inkdigit.training.run import Run
from inkdigit.types import DIGITS

SMALL = {"filters": [4, 6], "dense": [8], "precision": "float32"}
SHAPES = [
    {"pooling": ["stride", "max"], "kernel": [5, 3], "activation": "leaky_relu", "normalize": "standard"},
    {"pooling": ["stride", "none"], "padding": "valid", "batch_norm": False, "activation": "gelu", "head": "flatten"},
    {"pooling": "average", "activation": "elu", "head": "global_average", "dense": [], "dense_dropout": 0.2},
    {"convs_per_block": 2, "activation": "silu", "head": "global_max", "dropout": 0.1, "dense_dropout": 0.3},
    {"block": "residual", "convs_per_block": [4, 2], "pooling": ["none", "stride"], "head": "global_average"},
    {"block": "residual", "convs_per_block": 2, "pooling": "max", "batch_norm": False, "activation": "tanh"},
]


def relabelled(model: Recognizer, path: Path, *, card: dict[str, Any] | None = None, **fields: Any) -> Recognizer:
    """The same network with another card, or with some fields of its recipe changed."""
    (recipe,) = recipes_of(model)
    provenance = replace(model.card.provenance, recipe=recipe.change(fields).to_toml())
    changed = onnx.load(model.path)
    model_file.set_card(changed, replace(model.card, **{"provenance": provenance, **(card or {})}))
    path.write_bytes(changed.SerializeToString())
    return Recognizer.load(path)


def fresh(recipe: Recipe, path: Path, *, temperature: float = 1.7) -> Recognizer:
    """The model file of a network that has seen a few images, so that its batch norms are not what they begin as."""
    torch.manual_seed(0)
    net = nets.build(recipe, 10, mean=0.13, std=0.31)
    pictures = model_file.drawn_pictures("ink", 32)
    with torch.no_grad():
        for _ in range(30):
            net.train()(torch.from_numpy(pictures).unsqueeze(1).float())
    path.write_bytes(
        model_file.model_bytes(
            net,
            recipe.name,
            classes=DIGITS,
            kind="ink",
            calibration=Calibration(temperature),
            samples=pictures,
            provenance=Provenance(recipe=recipe.to_toml()),
        )
    )
    return Recognizer.load(path)


@pytest.fixture
def contradicted(finished: Run, tmp_path: Path) -> Recognizer:
    """The card states another temperature than the network has: what is made from it predicts something else."""
    calibration = finished.model.card.calibration
    changed = replace(calibration, temperature=2 * calibration.temperature)
    return relabelled(finished.model, tmp_path / "contradicted.onnx", card={"calibration": changed})
