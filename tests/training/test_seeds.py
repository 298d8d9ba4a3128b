"""Several seeds of one recipe: a run for each, finished runs are taken over, one failure does not stop the others."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from inkdigit import runs
from inkdigit.data.sources import open_data
from inkdigit.errors import DataError, Diverged, OutputError, TrainingError, UsageError
from inkdigit.files import LOCK
from inkdigit.scale.cluster import check_shared, marked
from inkdigit.training import run, trial
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.openings import OPENINGS
from inkdigit.training.recipe import Recipe
from inkdigit.training.seeds import Trained, train_seeds

from ..scale.conftest import local_ray
from .conftest import drawn_digits, ray_processes, stop_at, tiny

__all__ = ["local_ray"]


@pytest.fixture
def go(drawn, tmp_path, monkeypatch, only_training):  # noqa: ARG001
    """Train seeds of a tiny recipe in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def train(*seeds: int, **changes: object) -> Trained:
        options = {"data": drawn, "device": "cpu", "recipe": tiny(epochs=1), **changes}
        return train_seeds(options.pop("recipe"), seeds, **options)

    return train


@pytest.fixture
def trained(monkeypatch) -> list[int]:
    """The seeds that a loop was run with, in turn."""
    seen, epochs = [], trial.epochs

    def listen(state, recipe, *rest, **options):
        seen.append(recipe.seed)
        return epochs(state, recipe, *rest, **options)

    monkeypatch.setattr(trial, "epochs", listen)
    return seen


def diverge_in(number: int) -> Callable[[loop.Tick], None]:
    """A listener that fails in the training with this number: a training of one short epoch has one tick."""
    trainings = count()

    def listen(_: loop.Tick) -> None:
        if next(trainings) == number:
            raise Diverged("The loss is nan at step 7", hint="Use a smaller learning_rate.")

    return listen


def summary(folder: Path) -> dict:
    return json.loads((folder / runs.SEEDS).read_text(encoding="utf-8"))


def test_each_seed_is_a_run_of_its_own(go, drawn, trained):
    lines: list[str] = []
    done = go(2, 0, 1, out="three", log=lines.append)
    assert trained == [0, 1, 2]
    assert [entry.folder for entry in done.seeds.entries] == [Path(f"three/s{seed}") for seed in range(3)]
    assert lines[::2] == [f"Seed {seed}, {seed + 1} of 3: three/s{seed}" for seed in range(3)]
    recorded = summary(done.folder)
    assert (recorded["state"], recorded["seeds"], recorded["part"]) == ("finished", "0-2", "test")
    assert [row["run"] for row in recorded["runs"]] == ["s0", "s1", "s2"]
    assert recorded["accuracy"]["values"] == [entry.report["accuracy"] for entry in done.seeds.entries]
    assert "# tiny on drawn: 3 seeds" in Path("three/seeds.md").read_text(encoding="utf-8")
    alone = run.train(tiny(epochs=1), data=drawn, seed=1, out="alone", device="cpu")
    assert (alone.folder / checkpoint.FILE).read_bytes() == Path("three/s1", checkpoint.FILE).read_bytes()


def test_without_out_the_runs_have_the_names_of_single_runs_and_the_summary_is_beside_them(go):
    done = go(0, 1)
    assert done.folder.parent == Path("runs")
    assert done.folder.name.endswith("-tiny-seeds")
    assert [entry.folder.name[15:] for entry in done.seeds.entries] == ["-tiny-s0", "-tiny-s1"]
    assert {entry.folder for entry in done.seeds.entries} == set(runs.list_runs())
    assert go(0, 1).folder != done.folder  # what is finished is not gone on with


def test_the_same_command_takes_over_finished_runs_and_more_seeds_may_follow(go, trained):
    go(0, out="out")
    lines: list[str] = []
    assert go(0, 1, out="out", log=lines.append).seeds.seeds == (0, 1)
    assert lines[0] == "Seed 0: taken over from out/s0"
    assert go(0, 1, out="out").seeds.seeds == (0, 1)
    assert trained == [0, 1]


@pytest.mark.parametrize("out", [None, "out"])
def test_a_stopped_set_continues_with_the_same_command(go, drawn, out, trained):
    recipe = tiny(epochs=3)
    go(0, out=out, recipe=recipe)
    steps = loop.length(recipe, len(drawn.train))[0]
    pressed = stop_at(steps + 1)
    with pytest.raises(KeyboardInterrupt, match=r"^Stopped in seed 0, 1 of 2\. Go on with: the same command$"):
        go(0, 1, out=out and "other", recipe=recipe, on_tick=pressed)
    trained.clear()
    lines: list[str] = []
    done = go(0, 1, out=out and "other", recipe=recipe, log=lines.append)
    assert trained == [0, 1]
    assert "Going on after epoch 1." in lines
    assert len(run.Run(done.seeds.entries[0].folder).history) == 3
    assert (out is not None) or lines[0] == f"Going on with {done.folder}, which was stopped."
    assert summary(done.folder)["state"] == "finished"
    assert len(runs.list_runs()) == (3 if out is None else 0)


def test_a_stopped_set_records_its_progress(go):
    with pytest.raises(KeyboardInterrupt):
        go(0, 1, out="out", on_tick=stop_at(1))
    recorded = summary(Path("out"))
    assert recorded["state"] == "unfinished"
    assert [(row["seed"], row["run"], row["state"]) for row in recorded["runs"]] == [
        (0, "s0", "unfinished"),
        (1, "s1", "unfinished"),
    ]


def test_a_seed_that_fails_is_reported_and_does_not_stop_the_others(go):
    lines: list[str] = []
    done = go(0, 1, 2, out="out", log=lines.append, on_tick=diverge_in(1))
    assert done.seeds.seeds == (0, 2)
    assert dict(done.seeds.missing) == {1: "Diverged: The loss is nan at step 7"}
    assert "Seed 1 failed: The loss is nan at step 7. Use a smaller learning_rate." in lines
    recorded = summary(done.folder)
    assert (recorded["state"], recorded["runs"][1]["reason"]) == ("finished", "Diverged: The loss is nan at step 7")
    assert len(recorded["accuracy"]["values"]) == 2


def test_no_seed_at_all_is_an_error(go):
    with pytest.raises(TrainingError, match=r"No seed could be trained\. Received: Diverged") as caught:
        go(1, out="out", on_tick=diverge_in(0))
    assert caught.value.exit_code == 6


def test_anything_else_in_the_way_is_an_error_before_anything_is_trained(go, drawn, trained, tmp_path):
    run.train(tiny(epochs=2), data=drawn, out="recipe/s1", seed=1, device="cpu")
    run.train(tiny(epochs=1), data=drawn, out="seed/s1", seed=3, device="cpu")
    other = drawn_digits()
    other.train.images[0] = 0
    run.train(tiny(epochs=1), data=other, out="data/s1", seed=1, device="cpu")
    Path("thesis/s1").mkdir(parents=True)
    Path("thesis/s1/thesis.tex").write_text("mine", encoding="utf-8")
    Path("file").mkdir()
    Path("file/s1").write_text("mine", encoding="utf-8")
    trained.clear()
    for name in ("recipe", "seed", "data", "thesis", "file"):
        with pytest.raises(OutputError, match=f"{name}/s1 is taken") as caught:
            go(0, 1, out=name)
        assert caught.value.exit_code == 9
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["s1"]
    with pytest.raises(OutputError, match=r"recipe/s1 is taken\. Expected: a folder for several runs"):
        go(0, out="recipe/s1")
    with pytest.raises(OutputError, match="cannot be written"):
        go(0, out="thesis/s1/thesis.tex")
    assert trained == []


def test_a_folder_of_seeds_is_of_one_recipe_and_no_seed_is_forgotten(go):
    go(0, 1, out="out")
    before = (Path("out") / runs.SEEDS).read_bytes()
    with pytest.raises(OutputError, match=r"out is taken.*seeds of this recipe"):
        go(7, out="out", recipe=tiny(epochs=2))
    with pytest.raises(OutputError, match=r"out holds other seeds too\. Received: 0\. Name them all: --seeds 0-2\."):
        go(1, 2, out="out")
    (Path("out") / runs.SEEDS).write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="not a summary of seeds"):
        go(0, 1, out="out")
    (Path("out") / runs.SEEDS).write_bytes(before)


def test_a_run_that_was_stopped_before_it_began_is_named(go):
    go(0, out="out")
    for name in ("out/s0/DONE", f"out/s0/{checkpoint.FILE}"):
        Path(name).unlink()
    with pytest.raises(OutputError, match=r"out/s0 was stopped before it began\. Remove it"):
        go(0, out="out")


def test_two_do_not_train_the_same_at_once(go):
    go(0, out="out")
    with FileLock(Path("out") / LOCK), pytest.raises(UsageError, match="Another training is running in out"):
        go(0, out="out")


@pytest.mark.parametrize(
    ("seeds", "changes", "error"),
    [
        ((), {}, UsageError),
        ((1, 1), {}, UsageError),
        ((0, -1), {}, UsageError),
        ((0,), {"recipe": "no-such"}, UsageError),
        ((0,), {"device": "tpu"}, UsageError),
        ((0,), {"data": "none.npz"}, DataError),
        ((0,), {"recipe": tiny(filters=(2,) * 6)}, UsageError),
        ((0,), {"recipe": tiny(validation=5000)}, UsageError),
    ],
)
def test_a_set_that_cannot_begin_leaves_nothing(go, tmp_path, seeds, changes, error):
    for out in (None, "out"):
        with pytest.raises(error):
            go(*seeds, out=out, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_source_is_opened_again_for_a_stopped_set(go, drawn, tmp_path):
    np.savez("digits.npz", X=drawn.train.images, y=drawn.train.labels)
    with pytest.raises(KeyboardInterrupt):
        go(0, 1, data="digits.npz", on_tick=stop_at(1))
    done = go(0, 1, data="digits.npz")
    assert done.seeds.seeds == (0, 1)
    assert Recipe.load(done.seeds.entries[1].folder / "recipe.toml").data == str(tmp_path / "digits.npz")
    assert open_data("digits.npz").sha256 == summary(done.folder)["data_sha256"]


def kill_once(seed: Path) -> threading.Thread:
    """Kill what trains in a run directory, once it has a row."""

    def watch() -> None:
        until = time.monotonic() + 200  # a busy machine takes long to start a process
        while not (seed / runs.METRICS).exists() and time.monotonic() < until:
            time.sleep(0.01)
        for pid in ray_processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found in /proc")
def test_a_cluster_trains_the_same_seeds_and_resumes_those_whose_process_dies(go):
    recipe = tiny(epochs=40)
    go(0, out="here", recipe=recipe)
    lines: list[str] = []
    killer = kill_once(Path("there/s0"))
    done = go(0, out="there", recipe=recipe, engine="ray", log=lines.append)
    killer.join()
    assert done.seeds.seeds == (0,)
    resumed = [line for line in lines if line.startswith("Seed 0: Going on after epoch ")]
    assert len(resumed) == 1
    assert (summary(done.folder)["state"], summary(done.folder)["runs"][0]["run"]) == ("finished", "s0")
    here, there = (Path(name, "s0") for name in ("here", "there"))
    assert (here / checkpoint.FILE).read_bytes() == (there / checkpoint.FILE).read_bytes()
    assert (here / runs.RECIPE).read_bytes() == (there / runs.RECIPE).read_bytes()
    assert {path.name for path in Path("there").iterdir()} == {"s0", "seeds.json", "seeds.md", LOCK, OPENINGS}
    again: list[str] = []
    go(0, out="there", recipe=recipe, engine="ray", log=again.append)
    assert again == ["Seed 0: taken over from there/s0"]


@pytest.mark.usefixtures("local_ray")
def test_a_seed_that_fails_on_a_cluster_is_reported(go):
    diverging = tiny(epochs=20, batch=4, batch_norm=False, optimizer="sgd", learning_rate=1e6, weight_decay=100)
    with pytest.raises(TrainingError, match=r"No seed could be trained\. Received: Diverged: The loss is"):
        go(0, out="out", recipe=diverging, engine="ray")


def test_a_folder_that_a_machine_does_not_see_is_one_error(tmp_path):
    with marked(tmp_path) as mark:
        check_shared(mark)
    with pytest.raises(OutputError, match=rf"does not see {tmp_path}\. Expected: a folder on storage that all"):
        check_shared(mark)
