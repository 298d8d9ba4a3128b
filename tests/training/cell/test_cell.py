"""The training of the cell network: what is drawn, a few steps, going on from a checkpoint, and the exported file."""

from __future__ import annotations

import json

import numpy as np
import onnxruntime as ort
import pytest
import torch

from inkdigit.reading.cell_network import EMPTY, METADATA_KEY, SIDE_PX, VERSION
from inkdigit.training.cell import scenes
from inkdigit.training.cell import train as training
from inkdigit.training.cell.export import export
from inkdigit.types import Part

from ...conftest import template

DIGITS = Part(np.stack([template(i) for i in range(10)]), np.arange(10))


@pytest.fixture(scope="module")
def bank() -> scenes.Bank:
    return scenes.bank(DIGITS, prints=20, hands=20, seed=0)


def test_cells_are_known_by_their_seed_and_an_empty_one_has_less_ink(bank):
    (cells, labels), (same, _) = (scenes.draw(bank, 300, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(cells, same)
    assert cells.shape == (300, 1, SIDE_PX, SIDE_PX)
    assert {*labels.tolist()} == {*range(EMPTY + 1)}
    inner = cells[:, :, 6:-6, 6:-6].float()
    dark = inner.amax((1, 2, 3)) - inner.amin((1, 2, 3))
    assert dark[labels == EMPTY].median() < 0.6 * dark[labels != EMPTY].median()


def test_half_of_the_digits_are_print(bank):
    assert (bank.is_print.sum().item(), len(bank.labels)) == (20, 40)
    inks, _ = bank.some(2000, torch.Generator().manual_seed(0))
    known = {ink.numpy().tobytes() for ink in bank.inks[bank.is_print]}
    share = np.mean([(255 * ink[0]).round().to(torch.uint8).numpy().tobytes() in known for ink in inks])
    assert abs(share - scenes.PRINT_SHARE) < 0.05


def test_a_training_goes_on_from_its_checkpoint_and_its_file_gives_what_the_network_gives(tmp_path, monkeypatch):
    for name, value in {"BATCH": 4, "PRINTS": 10, "HANDS": 20, "SAVE_STEPS": 2, "LOG_STEPS": 2}.items():
        monkeypatch.setattr(training, name, value)
    lines: list[str] = []
    training.train(DIGITS, tmp_path, steps=2, seed=0, log=lines.append)
    assert lines[-1].startswith("Step 2 of 2: loss ")
    longer = training.train(DIGITS, tmp_path, steps=3, seed=0)
    data = export(tmp_path)
    assert len(data) < 350_000
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY])
    assert card == {"version": VERSION, "step": 3}
    cells = np.random.default_rng(1).integers(0, 256, (3, SIDE_PX, SIDE_PX)).astype(np.uint8)
    with torch.no_grad():
        expected = torch.softmax(longer.eval()(torch.from_numpy(cells)[:, None].float()), 1).numpy()
    assert np.abs(session.run(None, {"cells": cells})[0] - expected).max() < 0.02
