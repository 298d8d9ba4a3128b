"""Run directories whose files are damaged: a run continues from its last good state, or one line says why not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inkdigit import runs
from inkdigit.errors import DataError, UsageError
from inkdigit.training import curves, run
from inkdigit.training.network import checkpoint, nets

from .conftest import CPU
from .network.test_checkpoint import RECIPES, STEPS_PER_EPOCH, begin, rows


@pytest.fixture(autouse=True)
def quick(only_training):
    pass


@pytest.fixture(scope="module")
def stopped_once(drawn, tmp_path_factory) -> Path:
    return begin(RECIPES["sgd"], drawn, tmp_path_factory.mktemp("once") / "stopped", stop=STEPS_PER_EPOCH + 1)


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Path:
    """A run that was stopped in its second epoch."""
    return Path(shutil.copytree(stopped_once, tmp_path / "stopped"))


def damage(run: Path, content: bytes, *, file: str = checkpoint.FILE) -> None:
    (run / file).write_bytes(content)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(drawn, tmp_path):
    complete = begin(RECIPES["adam"], drawn, tmp_path / "whole")
    stopped = begin(RECIPES["adam"], drawn, tmp_path / "stopped", stop=2 * STEPS_PER_EPOCH + 1)
    damage(stopped, (stopped / checkpoint.FILE).read_bytes()[:-1])
    lines: list[str] = []
    run.resume(stopped, data=drawn, device="cpu", log=lines.append)
    assert re.search(r"state\.safetensors: the checkpoint is damaged \(.+\); the last good one is .* 1\.$", lines[0])
    assert lines[1] == "Going on after epoch 1."
    assert (stopped / checkpoint.FILE).read_bytes() == (complete / checkpoint.FILE).read_bytes()
    for file in (runs.METRICS, runs.STEPS):
        assert rows(stopped / file) == rows(complete / file)
    assert [path.name for path in (stopped / "checkpoint").iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("cut", [0, 4, 60, 2000, -1])
def test_a_checkpoint_cut_short_is_not_read(stopped, cut):
    damage(stopped, (stopped / checkpoint.FILE).read_bytes()[:cut])
    state = checkpoint.read(stopped, nets.build(RECIPES["sgd"], 3), RECIPES["sgd"], device=CPU)
    assert state.epoch == 0


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", b"\xff" * 100, b"{}", b"\x02" + bytes(7) + b"[]"])
def test_a_run_without_a_good_checkpoint_is_an_error_and_left_alone(drawn, stopped, content):
    for file in (checkpoint.FILE, checkpoint.PREVIOUS):
        damage(stopped, content, file=file)
    before = contents(stopped)
    with pytest.raises(DataError, match=r"is damaged \(.+\), and there is no good one before it\. Train the run again"):
        run.resume(stopped, data=drawn)
    assert contents(stopped) == before


def test_a_checkpoint_of_another_network_is_an_error(stopped):
    recipe = RECIPES["sgd"].change({"filters": (5, 7)})
    with pytest.raises(DataError, match=r"it is of another network: \S+ has another shape or type"):
        checkpoint.read(stopped, nets.build(recipe, 3), recipe, device=CPU)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "sgd"])
def test_a_checkpoint_of_another_optimizer_or_average_is_an_error_and_left_alone(stopped, name):
    recipe, before = RECIPES[name], contents(stopped)
    with pytest.raises(DataError, match=r"another network or optimizer: .* Was recipe\.toml changed\?"):
        checkpoint.read(stopped, nets.build(recipe, 3), recipe, device=CPU)
    assert contents(stopped) == before


class _Killed(BaseException):
    """Nothing catches it, as nothing catches the end of a process."""


def test_killed_at_any_moment_a_run_has_a_complete_checkpoint(stopped, tmp_path, monkeypatch):
    """The process ends after each of its steps on the disk in turn, while the checkpoint of epoch 2 is written."""
    recipe = RECIPES["sgd"]
    for moment in count():
        out = tmp_path / f"killed{moment}"
        shutil.copytree(stopped, out)
        state = checkpoint.read(out, nets.build(recipe, 3), recipe, device=CPU)
        state.epoch, state.step = 2, 2 * STEPS_PER_EPOCH
        left = [moment]

        def step(done: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def counted(*words: Any, **options: Any) -> Any:
                if not left[0]:
                    raise _Killed
                left[0] -= 1
                return done(*words, **options)

            return counted

        with monkeypatch.context() as patched, suppress(_Killed):
            for name in ("replace", "open", "mkdir"):
                patched.setattr(Path, name, step(getattr(Path, name)))
            patched.setattr(os, "fsync", step(os.fsync))
            checkpoint.write(out, state)
        after = checkpoint.read(out, nets.build(recipe, 3), recipe, device=CPU)
        assert after.epoch == (2 if left[0] else after.epoch)
        assert after.epoch in (1, 2)
        if left[0]:
            assert moment > 3
            return


def header_of(data: bytes) -> dict[str, Any]:
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])


def with_header(data: bytes, header: object) -> bytes:
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + int.from_bytes(data[:8], "little") :]


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just([]) | st.just({})
PATHS = st.sampled_from(["dtype", "shape", "data_offsets"])


@st.composite
def damaged(draw_: st.DrawFn, data: bytes) -> bytes:
    """A checkpoint in which one thing is another one: a counter, a tensor's entry, a name, a byte, its length."""
    header = header_of(data)
    ours = json.loads(header["__metadata__"]["inkdigit"])
    if draw_(st.booleans()):
        ours.pop("sha256")  # as older runs have it: nothing but the schema is in the way then
    tensors = [name for name in header if name != "__metadata__"]
    match draw_(st.sampled_from(["counter", "gone", "entry", "name", "metadata", "byte", "cut"])):
        case "counter":
            ours[draw_(st.sampled_from([*ours, "more"]))] = draw_(VALUES)
        case "gone":
            del ours[draw_(st.sampled_from(sorted(ours)))]
        case "entry":
            header[draw_(st.sampled_from(tensors))][draw_(PATHS)] = draw_(VALUES | st.lists(st.integers(), max_size=5))
        case "name":
            header[draw_(st.text(max_size=12))] = header.pop(draw_(st.sampled_from(tensors)))
        case "metadata":
            header["__metadata__"] = draw_(VALUES | st.dictionaries(st.just("inkdigit"), st.text(max_size=3)))
            return with_header(data, header)
        case "byte":
            at = draw_(st.integers(0, len(data) - 1))
            return data[:at] + bytes([data[at] ^ draw_(st.integers(1, 255))]) + data[at + 1 :]
        case "cut":
            return data[: draw_(st.integers(0, len(data) - 1))]
    header["__metadata__"]["inkdigit"] = json.dumps(ours)
    return with_header(data, header)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn_from=st.data())
def test_whatever_a_checkpoint_holds_it_is_read_or_one_error(stopped, drawn_from):
    recipe, folder = RECIPES["sgd"], stopped.with_name("damaged")
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    damage(folder, drawn_from.draw(damaged((stopped / checkpoint.FILE).read_bytes())))
    try:
        state = checkpoint.read(folder, nets.build(recipe, 3), recipe, device=CPU)
    except DataError:
        return
    assert state.epoch <= recipe.epochs  # what can be read can be gone on with
    state.optimizer.step()


def test_a_changed_weight_is_noticed(stopped):
    data = (stopped / checkpoint.FILE).read_bytes()
    damage(stopped, data[:-1] + bytes([data[-1] ^ 1]))
    (stopped / checkpoint.PREVIOUS).unlink()
    with pytest.raises(DataError, match="its checksum is wrong"):
        checkpoint.read(stopped, nets.build(RECIPES["sgd"], 3), RECIPES["sgd"], device=CPU)


def test_a_checkpoint_without_a_checksum_is_read(stopped):
    data = (stopped / checkpoint.FILE).read_bytes()
    header = header_of(data)
    ours = json.loads(header["__metadata__"]["inkdigit"])
    del ours["sha256"]
    header["__metadata__"]["inkdigit"] = json.dumps(ours)
    damage(stopped, with_header(data, header))
    assert checkpoint.read(stopped, nets.build(RECIPES["sgd"], 3), RECIPES["sgd"], device=CPU).epoch == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        (runs.METRICS, "epoch,loss\n1,0.5\n"),
        (runs.METRICS, "\n\n\n"),
        (runs.METRICS, f"{','.join(curves.EPOCH_COLUMNS)}\n1,1e300{',1' * 7}\n"),
        (runs.METRICS, f"{','.join(curves.EPOCH_COLUMNS)}\n1,nan{',1' * 7}\n"),
        (runs.STEPS, "a" * 100_000 + "\n1\n2\n"),
        (runs.STEPS, f"{','.join(curves.STEP_COLUMNS)}\n1,x,1,1,1\n"),
        (runs.ENVIRONMENT, "[" * 100_000),
        (runs.ENVIRONMENT, '{"threads": ' + "9" * 5000 + "}"),
        (runs.RECIPE, "epochs = " + "9" * 5000),
        (runs.RECIPE, "x" + ".x" * 50_000 + " = 1"),
    ],
)
def test_a_run_with_a_damaged_file_is_an_error_in_one_line(drawn, stopped, file, content):
    (stopped / file).write_text(content, encoding="utf-8")
    with pytest.raises((DataError, UsageError), match=file) as caught:
        run.resume(stopped, data=drawn, device="cpu")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("field", ["started", "commit", "libraries", "data", "threads", "teacher"])
@pytest.mark.parametrize("value", [-1, [], {"x": 1}, 10**9])
def test_env_json_is_checked_before_anything_is_trained(drawn, stopped, field, value):
    about = json.loads((stopped / runs.ENVIRONMENT).read_text(encoding="utf-8"))
    (stopped / runs.ENVIRONMENT).write_text(json.dumps({**about, field: value}), encoding="utf-8")
    with pytest.raises(DataError, match=rf"env\.json cannot be read \({field}"):
        run.resume(stopped, data=drawn)
