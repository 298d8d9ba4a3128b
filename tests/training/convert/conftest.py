"""Model files with another card than the one they were written with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert import model_file
from inkdigit.training.convert.restore import recipes_of
from inkdigit.training.run import Run


def relabelled(model: Recognizer, path: Path, *, card: dict[str, Any] | None = None, **fields: Any) -> Recognizer:
    """The same network with another card, or with some fields of its recipe changed."""
    (recipe,) = recipes_of(model)
    provenance = replace(model.card.provenance, recipe=recipe.change(fields).to_toml())
    changed = onnx.load(model.path)
    model_file.set_card(changed, replace(model.card, **{"provenance": provenance, **(card or {})}))
    path.write_bytes(changed.SerializeToString())
    return Recognizer.load(path)


@pytest.fixture
def contradicted(finished: Run, tmp_path: Path) -> Recognizer:
    """The card states another temperature than the network has: what is made from it predicts something else."""
    calibration = finished.model.card.calibration
    changed = replace(calibration, temperature=2 * calibration.temperature)
    return relabelled(finished.model, tmp_path / "contradicted.onnx", card={"calibration": changed})
