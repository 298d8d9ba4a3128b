"""The training of the second reader: its first weights, a few steps, and the exported file."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch

from inkdigit.reading.reader import Reader
from inkdigit.reading.second import METADATA_KEY, VERSION
from inkdigit.reading.view import LOW_PX
from inkdigit.training.line import pools, second
from inkdigit.training.line.start import net_of
from inkdigit.types import Part

from ...conftest import template
from ..conftest import compose_little

PART = Part(np.stack([template(i) for i in range(20)]), np.arange(20) % 10)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    compose_little(monkeypatch)
    monkeypatch.setattr(second, "POOLS", 2)


def test_a_training_begins_with_the_reader_and_its_file_gives_what_the_network_gives(tmp_path):
    lines: list[str] = []
    net = second.train(PART, tmp_path, steps=2, seed=0, log=lines.append).eval()
    assert lines[-1].startswith("Step 2 of 2: loss ")
    data = second.export(tmp_path)
    assert len(data) < 1_500_000
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert about == {"version": VERSION, "step": 2}
    views = np.random.default_rng(1).integers(0, 256, (3, 2, LOW_PX, 64)).astype(np.uint8)
    with torch.no_grad():
        expected = net(torch.from_numpy(views)).argmax(2).numpy()
    assert (session.run(None, {"line": views})[0].argmax(2) == expected).mean() > 0.9


def test_the_filter_over_all_rows_is_squeezed_and_nothing_else_changes(tmp_path):
    high = net_of(Reader.load().path, pools.read(pools.fill(PART, tmp_path, pools=1, seed=0)[0]))
    filters = high.body[8][0].weight
    with torch.no_grad():
        filters.copy_(filters.mean(2, keepdim=True).expand_as(filters))
    before, after = high.state_dict(), second.lower(high).state_dict()
    (changed,) = [name for name in before if before[name].shape != after[name].shape]
    assert after[changed].shape[2:] == (2, 1)
    assert torch.allclose(after[changed].sum(2), before[changed].sum(2), atol=1e-4)
    assert all(torch.equal(before[name], after[name]) for name in before if name != changed)


def test_lines_that_nobody_can_read_are_left_out():
    lines = [np.zeros((2, 48, 64), np.uint8), np.zeros((2, 48, 32), np.uint8)]
    pool = pools.Pool(np.concatenate(lines, 2), np.array([64, 32]), ("12345", ""))
    assert second._low(pool).texts == pool.texts
    assert second._low(pool, Reader.load()).texts == ("",)
