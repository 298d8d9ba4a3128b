"""A model of the ten digits, for which digits can be drawn."""

from __future__ import annotations

import numpy as np
import pytest

from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.types import DIGITS, Dataset, Part

from ..conftest import tiny
from ..convert.test_ensemble import member_file


@pytest.fixture(scope="session")
def ten() -> Dataset:
    """All ten digits."""
    rng = np.random.default_rng(0)
    labels = np.arange(200, dtype=np.int64) % 10
    return Dataset("ten", DIGITS, Part(np.stack([prepare(digit(int(k), rng=rng, size_px=28)) for k in labels]), labels))


@pytest.fixture(scope="session")
def reader(ten, tmp_path_factory) -> Recognizer:
    """A model of the ten digits that hardly learned from them."""
    return member_file(tmp_path_factory.mktemp("model") / "m.onnx", tiny(outliers=100), ten)
