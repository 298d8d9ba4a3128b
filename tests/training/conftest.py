"""A small set of drawn digits, tiny recipes, and one finished run that the tests share."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock  # torch brings it along

from inkdigit import runs
from inkdigit.measure.stats import wilson
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.training import results, run
from inkdigit.training.line import pools, train
from inkdigit.training.network import loop, nets
from inkdigit.training.recipe import Recipe
from inkdigit.training.run import Run
from inkdigit.types import Dataset, Part

CLASSES = ("0", "1", "2")
CPU = torch.device("cpu")


def draw(n: int, *, seed: int = 0) -> Part:
    """`n` drawn digits of three classes, prepared."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % len(CLASSES)
    images = np.stack([prepare(digit(int(k), rng=rng, size_px=28)) for k in labels])
    return Part(images, labels)


def tiny(**fields: Any) -> Recipe:
    """A recipe that trains in a fraction of a second."""
    small = {"name": "tiny", "filters": (4, 8), "head": "global_max", "batch": 32, "epochs": 2, "learning_rate": 0.01}
    return Recipe.from_fields({**small, "precision": "float32", **fields})


def tensors(part: Part) -> loop.Tensors:
    return loop.Tensors.of(part, CPU)


def fit(recipe: Recipe, data: Part, *, validation: Part | None = None) -> tuple[loop.State, list[loop.Row]]:
    """Train a fresh network to the end of the recipe."""
    torch.manual_seed(recipe.seed)
    state = loop.start(nets.build(recipe, len(CLASSES)), recipe)
    held = None if validation is None else tensors(validation)
    return state, list(loop.train(state, recipe, tensors(data), validation=held, bfloat16=False))


def weights(net: torch.nn.Module) -> dict[str, bytes]:
    """Every number of a network, bit for bit."""
    return {name: value.numpy().tobytes() for name, value in net.state_dict().items()}


def drawn_digits() -> Dataset:
    return Dataset(
        "drawn", CLASSES, draw(120), draw(40, seed=1), glimpses=((0, draw(1).images[0]),), raw_shapes=((28, 28),)
    )


@contextmanager
def single_thread() -> Iterator[None]:
    """Tests run side by side; and a run repeats bit for bit only with as many threads as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def finish(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on the drawn digits, made once and shared by all tests that run side by side."""
    folder = tmp_path_factory.getbasetemp()
    out = (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "finished" / "run"
    out.parent.mkdir(exist_ok=True)
    with FileLock(out.parent / "lock"), single_thread():
        return Run(out) if runs.is_finished(out) else run.train(FINISHED, data=drawn_digits(), out=out, device="cpu")


FINISHED = tiny(epochs=4, seed=3, normalize="standard", validation=0.25)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="session")
def drawn() -> Dataset:
    return drawn_digits()


@pytest.fixture(scope="session")
def easy(drawn: Dataset) -> Part:
    return drawn.train


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run: model file, report, DONE. Read it, do not change it."""
    return finish(tmp_path_factory)


def write_small_report(job: results.Job, state: loop.State, *_: object, **__: object) -> None:
    """Of a report, what a summary of seeds and the command line read."""
    part = job.splits.report
    state.net.cpu().eval()
    probs = state.net(torch.from_numpy(part.images).unsqueeze(1).float()).softmax(1).detach().numpy()
    right, n = int((probs.argmax(1) == part.labels).sum()), len(part)
    report = {
        "report_name": job.splits.report_name,
        "accuracy": right / n,
        "accuracy_ci95": wilson(right, n),
        "n": n,
        "data": job.dataset.name,
        "train_seconds": 1.0,
        "environment": job.about,
        "recipe": {"data": job.dataset.name},
        "model": {"parameters": sum(weights.numel() for weights in state.net.parameters())},
    }
    (job.folder / runs.REPORT).write_text(json.dumps(report), encoding="utf-8")
    np.savez(job.folder / runs.PREDICTIONS, probs=probs, labels=part.labels)


@pytest.fixture
def only_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out export and report, which take longer than the training itself."""
    monkeypatch.setattr(run, "write_model", lambda *_: b"")
    monkeypatch.setattr(run, "write_report", write_small_report)


def stop_at(step: int) -> Callable[[loop.Tick], None]:
    """A listener that presses Ctrl-C once training has reached `step`."""

    def press(tick: loop.Tick) -> None:
        if tick.step >= step:
            raise KeyboardInterrupt

    return press


def ray_processes() -> list[int]:
    """The processes of this one's Ray that work at something: Ray writes what it is into the name of each."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            stat = (entry / "stat").read_text(encoding="utf-8")
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
            names[int(entry.name)] = (entry / "cmdline").read_bytes().split(b"\0")[0]

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    idle = (b"ray::IDLE", b"ray::DashboardAgent", b"ray::RuntimeEnvAgent")
    return [pid for pid, name in names.items() if name.startswith(b"ray::") and name not in idle and is_ours(pid)]


def compose_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of the line reader with eight lines a pool, four a step, in this process."""
    monkeypatch.setattr(pools, "POOL", 8)
    monkeypatch.setattr(pools, "BANK_SIZE", 16)
    monkeypatch.setattr(pools, "cores", lambda: 0)  # in this process
    monkeypatch.setattr(train, "BATCH", 4)
    monkeypatch.setattr(train, "SAVE_STEPS", 2)
    monkeypatch.setattr(train, "LOG_STEPS", 2)
