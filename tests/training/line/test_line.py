"""The training of the line reader: pools that are composed once, a few steps, and a file that the reader opens."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch

from inkdigit.errors import SelfTestFailed, UsageError
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.reading.cell_network import CELL
from inkdigit.reading.reader import Reader
from inkdigit.reading.view import STRIDE_PX
from inkdigit.training.line import average, pools, train
from inkdigit.training.line import net as line_net
from inkdigit.training.line.export import export
from inkdigit.training.line.net import LineNet
from inkdigit.training.line.start import net_of
from inkdigit.types import ALPHABET, Part

from ...conftest import template
from ..conftest import compose_little

PART = Part(
    np.stack([template(i) for i in range(20)]), np.arange(20) % 10, writers=(np.arange(20) // 10).astype(np.int32)
)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    compose_little(monkeypatch)


def test_a_pool_is_composed_once_and_is_the_same_again(tmp_path):
    first, second = (tmp_path / name for name in ("a", "b"))
    for folder in (first, second):
        folder.mkdir()
        (path,) = pools.fill(PART, folder, pools=1, seed=3)
    assert (first / path.name).read_bytes() == path.read_bytes()
    before = path.stat().st_mtime_ns
    paths = pools.fill(PART, second, pools=2, seed=3)
    assert path.stat().st_mtime_ns == before
    one, other = map(pools.read, paths)
    assert one.texts != other.texts
    assert [seen.shape[2] for seen in one.each()] == one.widths.tolist()
    assert all(width % 16 == 0 for width in one.widths)


def test_batches_have_every_line_once_and_changes_keep_its_text(tmp_path):
    pool = pools.read(pools.fill(PART, tmp_path, pools=1, seed=0)[0])
    for rng in (None, np.random.default_rng(0)):
        some = list(train.batches([pool], rng))
        assert sum(len(batch.widths) for batch in some) == len(pool.texts)
        assert sum(int(batch.lengths.sum()) for batch in some) == sum(map(len, pool.texts))
        assert all(batch.views.shape[3] % 16 == 0 for batch in some)


def test_a_training_goes_on_and_its_file_is_a_reader(tmp_path):
    held_out, *some = map(pools.read, pools.fill(PART, tmp_path, pools=2, seed=0))
    lines: list[str] = []
    train.train(some, tmp_path, steps=2, seed=0, log=lines.append)
    assert lines[-1].startswith("Step 2 of 2: loss ")
    net = train.train(some, tmp_path, steps=4, seed=0).eval()
    path = tmp_path / "line.onnx"
    path.write_bytes(export(net, held_out, name="line", provenance=Provenance()))
    assert path.stat().st_size < 3_000_000
    reader = Reader.load(path)
    assert reader.alphabet == ALPHABET
    views = held_out.each()[0][None]
    with torch.no_grad():
        expected = torch.log_softmax(net(torch.from_numpy(views)) / reader.card.calibration.temperature, 2).exp()
    probs = np.exp(reader.log_probs(views))
    assert probs.shape == (1, views.shape[3] // STRIDE_PX, 1 + len(ALPHABET))
    assert np.abs(probs - expected.numpy()).mean() < 0.01
    with pytest.raises(UsageError, match="reads whole numbers"):
        Recognizer.load(path)
    with pytest.raises(UsageError, match="reads single digits"):
        Reader.load(Recognizer.load("tiny").path)


def test_a_training_that_begins_with_a_reader_reads_as_it_does(tmp_path):
    pool = pools.read(pools.fill(PART, tmp_path, pools=1, seed=0)[0])
    reader = Reader.load()
    net = net_of(reader.path, pool)
    views = pool.each()[0][None]
    with torch.no_grad():
        probs = torch.log_softmax(net(torch.from_numpy(views)) / reader.card.calibration.temperature, 2).exp().numpy()
    assert np.abs(probs - np.exp(reader.log_probs(views))).max() < 1e-3
    with torch.no_grad():  # the statistics of its batch norms are those of the lines
        seen = net.train()(torch.from_numpy(views)).exp().numpy()
    assert np.abs(seen - probs).mean() < 0.1
    with pytest.raises(UsageError, match="other layers"):
        net_of(CELL, pool)


def test_layers_that_the_file_lacks_begin_with_almost_nothing(tmp_path, monkeypatch):
    pool = pools.read(pools.fill(PART, tmp_path, pools=1, seed=0)[0])
    reader = Reader.load()
    monkeypatch.setattr(line_net, "DEEPER", {3: 2, 5: 2, 7: 3})
    monkeypatch.setattr(line_net, "DILATIONS", (*line_net.DILATIONS, 1))
    net = net_of(reader.path, pool)
    views = pool.each()[0][None]
    with torch.no_grad():
        probs = torch.log_softmax(net(torch.from_numpy(views)) / reader.card.calibration.temperature, 2).exp().numpy()
    away = np.abs(probs - np.exp(reader.log_probs(views)))
    assert away.max() > 1e-4  # they do something, so that they learn
    assert away.mean() < 0.02
    net.train()(torch.from_numpy(views)).sum().backward()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in net.deeper.parameters())


def test_between_two_networks_the_one_that_reads_other_lines_best_is_taken(tmp_path):
    held_out, pool = map(pools.read, pools.fill(PART, tmp_path, pools=2, seed=0))
    start = net_of(Reader.load().path, pool)
    worse = deepcopy(start)
    with torch.no_grad():
        for weight in worse.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) * weight.std())
    lines: list[str] = []
    best = average.between(start, worse, pool=pool, held_out=held_out, log=lines.append)
    losses = [float(line.rpartition(" ")[2]) for line in lines]
    assert len(losses) == 1 + len(average.SHARES)
    assert average.loss(best, held_out) == pytest.approx(min(losses), abs=1e-3)
    with torch.no_grad():
        for weight in worse.out.parameters():
            weight.mul_(-9)
    assert average.between(worse, start, pool=pool, held_out=held_out) is start


def test_a_reader_with_other_weights_fails_its_self_test(tmp_path, monkeypatch):
    held_out, *some = map(pools.read, pools.fill(PART, tmp_path, pools=2, seed=0))
    net = train.train(some, tmp_path, steps=train.steps_of(some), seed=0)
    path = tmp_path / "line.onnx"
    path.write_bytes(export(net, held_out, name="line", provenance=Provenance()))
    real = Reader.log_probs
    monkeypatch.setattr(Reader, "log_probs", lambda self, views: 1.5 * real(self, views))
    with pytest.raises(SelfTestFailed):
        Reader.load(path)


def test_the_loss_of_the_right_text_is_lower():
    batch = train.collate([(np.zeros((2, 48, 32), np.uint8), "17")])
    right, wrong = (torch.full((1, 8, 1 + len(ALPHABET)), -9.0) for _ in range(2))
    for step, character in enumerate([0, 2, 2, 0, 8, 8, 0, 0]):
        right[0, step, character] = 0
        wrong[0, step, 4] = 0
    assert train.loss_of(right, batch) < 0.1 < train.loss_of(wrong, batch)


def test_a_step_sees_the_characters_beside_it():
    net = LineNet(len(ALPHABET)).eval()
    views = torch.zeros(1, 2, 48, 256, dtype=torch.uint8)
    changed = views.clone()
    changed[..., 100:104] = 255
    with torch.no_grad():
        away = (net(views) - net(changed)).abs().amax(2)[0] > 1e-6
    assert away.sum() > 20
    assert not away.all()
