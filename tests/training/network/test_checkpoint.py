"""Checkpoints: a run that was stopped and resumed ends as a run that was never stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from inkdigit import runs
from inkdigit.errors import DataError, TrainingError, UsageError
from inkdigit.files import read_rows
from inkdigit.training import run
from inkdigit.training.network import checkpoint, loop, nets
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Part

from ..conftest import CPU, stop_at, tiny, weights

EPOCHS, STEPS_PER_EPOCH = 5, 24
LONG = {"epochs": EPOCHS, "batch": 5}
WATCHING = {
    "schedule": "plateau",
    "plateau_patience_epochs": 0,
    "early_stopping_patience_epochs": 4,
    "keep": "best",
    "ema_decay": 0.9,
    "validation": 0.2,
    "batch": 4,
}
RECIPES = {
    "sgd": tiny(**LONG, optimizer="sgd", schedule="one-cycle", shift_px=2, dropout=0.2),
    "sgd without momentum": tiny(**LONG, optimizer="sgd", momentum=0),
    "adam": tiny(**LONG, schedule="cosine", weight_decay=1e-3, elastic_px=1, normalize="standard"),
    "rmsprop": tiny(**LONG, optimizer="rmsprop", learning_rate=1e-3, loss="categorical_crossentropy"),
    "muon": tiny(**LONG, optimizer="muon", learning_rate=0.05, schedule="one-cycle"),
    "adadelta, average": tiny(**LONG, optimizer="adadelta", learning_rate=1.0, ema_decay=0.9),
    "adamw, plateau, average, best": tiny(**{**LONG, **WATCHING}, optimizer="adamw"),
}


def rows(path: Path) -> list[dict[str, float]]:
    """The figures of a CSV that do not depend on the clock."""
    clock = ("seconds", "images_per_second")
    return [{k: str(v) for k, v in row.items() if k not in clock} for row in read_rows(path)]


def begin(recipe: Recipe, data: Dataset, out: Path, *, stop: int | None = None) -> Path:
    """Train into `out`; with `stop`, Ctrl-C is pressed at that step."""
    if stop is None:
        run.train(recipe, data=data, out=out, device="cpu")
    else:
        with pytest.raises(KeyboardInterrupt):
            run.train(recipe, data=data, out=out, device="cpu", on_tick=stop_at(stop))
    return out


pytestmark = pytest.mark.usefixtures("only_training")


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_run_ends_as_if_it_had_never_been_stopped(drawn, tmp_path, name):
    recipe = RECIPES[name]
    complete = begin(recipe, drawn, tmp_path / "whole")
    stopped = begin(recipe, drawn, tmp_path / "stopped", stop=2 * STEPS_PER_EPOCH + 10)
    assert len(rows(stopped / runs.METRICS)) == 2
    torch.rand(99)  # whatever else was drawn since
    run.resume(stopped, data=drawn, device="cpu")
    for file in (runs.METRICS, runs.STEPS):
        assert rows(stopped / file) == rows(complete / file)
    assert (stopped / checkpoint.FILE).read_bytes() == (complete / checkpoint.FILE).read_bytes()


def test_a_run_may_be_stopped_in_every_epoch(drawn, tmp_path):
    recipe = RECIPES["adamw, plateau, average, best"]
    complete = begin(recipe, drawn, tmp_path / "whole")
    halting = begin(recipe, drawn, tmp_path / "halting", stop=1)
    for epoch in range(EPOCHS):
        with pytest.raises(KeyboardInterrupt, match=rf"Stopped in epoch {epoch + 1}\. Go on with: inkdigit train"):
            run.resume(halting, data=drawn, device="cpu", on_tick=stop_at(epoch * STEPS_PER_EPOCH + 1))
        if epoch < EPOCHS - 1:  # let one epoch pass
            with pytest.raises(KeyboardInterrupt):
                run.resume(halting, data=drawn, device="cpu", on_tick=stop_at((epoch + 1) * STEPS_PER_EPOCH + 1))
    run.resume(halting, data=drawn, device="cpu")
    assert (halting / checkpoint.FILE).read_bytes() == (complete / checkpoint.FILE).read_bytes()
    assert rows(halting / runs.METRICS) == rows(complete / runs.METRICS)


def test_a_full_gpu_is_an_error_and_the_run_continues_without_it(drawn, tmp_path):
    complete, out = begin(RECIPES["sgd"], drawn, tmp_path / "whole"), tmp_path / "full"

    def full(tick: loop.Tick) -> None:
        if tick.epoch == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(TrainingError, match=rf"full.*--resume {out} --device cpu.*--set batch=2"):
        run.train(RECIPES["sgd"], data=drawn, out=out, device="cpu", on_tick=full)
    run.resume(out, data=drawn, device="cpu")
    assert (out / checkpoint.FILE).read_bytes() == (complete / checkpoint.FILE).read_bytes()


def test_rows_written_after_the_checkpoint_are_written_again(drawn, tmp_path):
    complete = begin(RECIPES["adam"], drawn, tmp_path / "whole")
    stopped = begin(RECIPES["adam"], drawn, tmp_path / "stopped", stop=2 * STEPS_PER_EPOCH + 1)
    for file in (runs.METRICS, runs.STEPS):
        with (stopped / file).open(
            "a", encoding="utf-8"
        ) as text:  # killed after the row, before the checkpoint; and in mid-row
            text.write((complete / file).read_text(encoding="utf-8").splitlines()[-1] + "\n3,7")
    run.resume(stopped, data=drawn, device="cpu")
    for file in (runs.METRICS, runs.STEPS):
        assert rows(stopped / file) == rows(complete / file)


def test_a_run_killed_after_its_last_epoch_is_only_finished(drawn, tmp_path):
    out = begin(RECIPES["sgd"], drawn, tmp_path / "run")
    before = (out / checkpoint.FILE).read_bytes()
    (out / runs.DONE).unlink()
    lines: list[str] = []
    run.resume(out, data=drawn, device="cpu", log=lines.append)
    assert lines == [f"Going on after epoch {EPOCHS}."]
    assert (out / checkpoint.FILE).read_bytes() == before
    assert runs.is_finished(out)


def test_a_finished_run_is_not_resumed(drawn, tmp_path):
    out = begin(tiny(epochs=1), drawn, tmp_path / "run")
    with pytest.raises(UsageError, match=r"is finished\. Look at .*report\.html, or train again"):
        run.resume(out, data=drawn)


def test_no_run_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="There is no run called 'nope'"):
        run.resume("nope")


def test_a_run_is_not_resumed_on_other_data(drawn, tmp_path):
    out = begin(RECIPES["sgd"], drawn, tmp_path / "run", stop=STEPS_PER_EPOCH + 1)
    images = drawn.train.images.copy()
    images[0] = images[1]  # moved alone, it would be prepared to what it was
    changed = Dataset("drawn", drawn.classes, Part(images, drawn.train.labels), drawn.test)
    with pytest.raises(DataError, match=r"is not the data that .* began with\. Expected: SHA-256"):
        run.resume(out, data=changed)


@pytest.fixture
def stopped(drawn, tmp_path) -> Path:
    return begin(RECIPES["sgd"], drawn, tmp_path / "stopped", stop=STEPS_PER_EPOCH + 1)


def test_a_run_without_checkpoint_is_an_error(drawn, stopped):
    shutil.rmtree(stopped / "checkpoint")
    with pytest.raises(UsageError, match=r"has no checkpoint to continue from\. Train it again"):
        run.resume(stopped, data=drawn)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}"])
def test_a_run_without_its_environment_is_an_error(drawn, stopped, content):
    (stopped / runs.ENVIRONMENT).unlink()
    if content is not None:
        (stopped / runs.ENVIRONMENT).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"env\.json cannot be read"):
        run.resume(stopped, data=drawn)


def test_a_state_comes_back_as_it_was_written(stopped, tmp_path):
    recipe = RECIPES["sgd"]
    state = checkpoint.read(stopped, nets.build(recipe, 3), recipe, device=CPU)
    assert (state.epoch, state.step, state.stopped) == (1, STEPS_PER_EPOCH, False)
    checkpoint.write(tmp_path, state)
    again = checkpoint.read(tmp_path, nets.build(recipe, 3), recipe, device=CPU)
    assert weights(again.net) == weights(state.net)
    assert (tmp_path / checkpoint.FILE).read_bytes() == (stopped / checkpoint.FILE).read_bytes()


def test_a_checkpoint_is_safetensors_and_json(stopped):
    data = (stopped / checkpoint.FILE).read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert set(json.loads(header["__metadata__"]["inkdigit"])) == {*checkpoint.COUNTERS, "optimizer", "sha256"}
    assert {name.partition("/")[0] for name in header} == {"__metadata__", "net", "optimizer"}
    assert {path.name for path in (stopped / "checkpoint").iterdir()} == {"state.safetensors", "previous.safetensors"}
