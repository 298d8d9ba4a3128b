"""The cost of answering: the figures are those of the calls, and what happens if something is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest

import inkdigit.machine as machine
from inkdigit.errors import ModelFileError, NotAModelFile, OutputError, UsageError
from inkdigit.measure import speed
from inkdigit.measure.speed import WARM_UPS, Effort

from ..conftest import Tiny, template
from ..data.conftest import write_idx_part

SAMPLE = machine.Sample(wall_s=0.2, peak_mb=70.0)
LITTLE = Effort(starts=1, calls=5, rounds=3, batch=20)


class Processes:
    """New processes that are not started: their commands, and the samples that are taken of them."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.samples: Iterator[machine.Sample] = repeat(SAMPLE)

    def time(self, command: list[str]) -> machine.Sample:
        self.commands.append(command)
        assert command[-2] != "--model" or Path(command[-3]).read_bytes().startswith(b"\x89PNG")
        return next(self.samples)


@pytest.fixture
def processes(monkeypatch) -> Processes:
    stand_in = Processes()
    monkeypatch.setattr(machine, "time_process", stand_in.time)  # seconds
    return stand_in


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch) -> Path:
    """A folder without MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def mnist_here(no_data) -> Path:
    """A folder of thirty images that is called mnist; three of its twelve test images have a wrong label."""
    folder = no_data / "data" / "mnist"
    images = np.stack([template(i % 10) for i in range(30)])
    labels = np.arange(30) % 10
    labels[18:21] = (labels[18:21] + 1) % 10
    write_idx_part(folder, "train-", images[:18], labels[:18])
    write_idx_part(folder, "t10k-", images[18:], labels[18:])
    return folder


def clock(seconds: list[float]) -> Callable[[], float]:
    """A clock that advances by the next of `seconds` at every second reading."""
    ticks = iter(np.cumsum([tick for second in seconds for tick in (0.0, second)]).tolist())
    return lambda: next(ticks)


class Counting:
    """A recogniser that only stores what it is asked to predict."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def predict(self, pictures: object) -> list[object]:
        self.calls.append(pictures)
        return []


def test_a_glance_predicts_drawn_digits_in_one_call():
    first, second = Counting(), Counting()
    found = speed.glance([first, second])
    assert [(one.rounds, one.batch) for one in found] == [(9, 256), (9, 256)]
    assert [images.shape for images in first.calls] == [(256, 28, 28)] * 10
    assert second.calls[0] is first.calls[0]
    assert len({asked.tobytes() for asked in first.calls[0]}) == 10


def test_single_images_take_turns_and_the_warm_up_is_not_counted():
    recognizer = Counting()
    seconds = [*[9.0] * WARM_UPS, 0.001, 0.002, 0.003, 0.004, 0.1]
    found = speed.time_singles(recognizer, ["a", "b"], LITTLE, clock=clock(seconds))
    assert recognizer.calls == ["a", "b"] * 12 + ["a"]
    assert found.calls == 5
    assert found.p50_ms == pytest.approx(3)
    assert 90 < found.p99_ms <= 100


def test_images_per_second_are_those_of_the_median_and_the_best_round():
    recognizer = Counting()
    images = np.zeros((10, 28, 28), np.uint8)
    found = speed.time_batches(recognizer, images, LITTLE, clock=clock([9.0, 0.5, 0.1, 0.2]))
    assert len(recognizer.calls) == 4
    assert (found.rounds, found.batch) == (3, 10)
    assert (found.pictures_per_s, found.best_pictures_per_s) == (pytest.approx(50), pytest.approx(100))


def test_cold_starts_take_turns_and_the_first_round_does_not_count(processes):
    walls = [9, 9, 9, 0.10, 0.2, 0.50, 0.11, 0.3, 0.52, 0.12, 0.4, 0.51]
    processes.samples = (machine.Sample(wall_s, float(number)) for number, wall_s in enumerate(walls, 1))
    one, other = speed.time_cold_starts([Path("/one.onnx"), Path("/other.onnx")], replace(LITTLE, starts=3))
    commands = processes.commands
    assert (one.starts, one.cold_start_s, one.libraries_s, one.peak_mb) == (3, 0.3, 0.11, 8.0)
    assert (other.cold_start_s, other.libraries_s, other.peak_mb) == (0.51, 0.11, 9.0)
    assert [command[-1] for command in commands] == [speed.LIBRARIES, "/one.onnx", "/other.onnx"] * 4
    assert not Path(commands[1][-3]).exists()  # the image is deleted


def test_without_a_peak_from_the_system_there_is_none(processes):
    processes.samples = repeat(machine.Sample(0.2, None))
    assert speed.time_cold_starts([Path("one.onnx")])[0].peak_mb is None


@pytest.mark.usefixtures("processes", "mnist_here")
def test_every_figure_of_a_model_is_measured(tiny_file, lines, log):
    found = speed.benchmark([str(tiny_file)], effort=LITTLE, log=log)
    (model,) = found.models
    assert (model.model, model.name, model.numbers, model.parameters) == (str(tiny_file), "tiny", "float32", 7840)
    assert model.file_kb == tiny_file.stat().st_size / 1000
    assert model.threads >= 1
    assert model.accuracy is not None
    assert (model.accuracy.n, model.accuracy.accuracy) == (12, 0.75)
    low, high = model.accuracy.accuracy_ci95
    assert low < 0.75 < high
    assert model.cold_start.cold_start_s == 0.2
    assert 0 < model.array.p50_ms <= model.array.p99_ms
    assert 0 < model.png.p50_ms <= model.png.p99_ms
    assert model.batch.batch == 12
    assert 0 < model.batch.pictures_per_s <= model.batch.best_pictures_per_s
    assert not any("MNIST" in line for line in lines)


@pytest.mark.usefixtures("processes", "mnist_here")
def test_the_figures_as_json_have_their_units_in_their_names(tiny_file):
    found = json.loads(json.dumps(speed.benchmark([str(tiny_file)], effort=LITTLE).to_json(), allow_nan=False))
    assert set(found["machine"]) == {"processor", "cores", "system", "python", "onnxruntime", "load_before"}
    (model,) = found["models"]
    assert set(model["cold_start"]) == {"starts", "cold_start_s", "libraries_s", "peak_mb"}
    assert set(model["array"]) == set(model["png"]) == {"calls", "p50_ms", "p99_ms"}
    assert set(model["batch"]) == {"rounds", "batch", "pictures_per_s", "best_pictures_per_s"}
    assert set(model["accuracy"]) == {"n", "accuracy", "accuracy_ci95", "warning"}


@pytest.mark.usefixtures("processes")
def test_without_mnist_drawn_images_are_timed_and_the_next_step_is_logged(tiny_file, lines, log):
    (model,) = speed.benchmark([str(tiny_file)], effort=LITTLE, log=log).models
    assert model.accuracy is None
    assert model.batch.batch == 20
    assert len([line for line in lines if "inkdigit data get mnist" in line]) == 1


@pytest.mark.usefixtures("processes")
def test_a_training_split_is_not_used_as_a_test_split(tiny_file, mnist_here, lines, log):
    for file in mnist_here.glob("t10k-*"):
        file.unlink()
    assert speed.benchmark([str(tiny_file)], effort=LITTLE, log=log).models[0].accuracy is None
    assert any("MNIST's test split" in line for line in lines)


@pytest.mark.usefixtures("processes", "mnist_here")
def test_a_model_that_does_not_read_digits_is_timed_without_accuracy(tmp_path, lines, log):
    letters = Tiny(classes=tuple("abcdefghij")).write(tmp_path / "letters.onnx")
    (model,) = speed.benchmark([str(letters)], effort=LITTLE, log=log).models
    assert model.accuracy is None
    assert not any("MNIST" in line for line in lines)


@pytest.mark.parametrize(("load", "busy"), [(1.1, True), (0.9, False), (None, False)])
def test_a_machine_is_busy_with_half_a_waiting_process_for_each_core(load, busy):
    assert replace(speed.describe_machine(), cores=2, load_before=load).busy == busy


@pytest.mark.usefixtures("processes")
def test_a_busy_machine_is_logged(tiny_file, lines, log):
    found = speed.benchmark([str(tiny_file)], effort=LITTLE, log=log)
    assert any("too long" in line for line in lines) == found.machine.busy


def test_errors_come_before_anything_is_measured(tiny_file, tmp_path, processes):
    with pytest.raises(UsageError, match="Did you mean fast"):
        speed.benchmark([str(tiny_file), "fats"])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_file.read_bytes()[:1000])
    with pytest.raises(NotAModelFile, match="broken"):
        speed.benchmark([str(tiny_file), str(broken)])
    assert processes.commands == []


def test_new_processes_are_timed(tiny_file):
    (start,) = speed.time_cold_starts([tiny_file], LITTLE)
    assert start.starts == 1
    assert min(start.cold_start_s, start.libraries_s) > 0  # a single start of each: noise decides which took longer
    assert start.peak_mb is None or start.peak_mb > 10


def test_a_fresh_process_that_fails_is_an_error(tmp_path):
    with pytest.raises(ModelFileError, match=r"does not answer.*There is no model '.*gone.onnx'"):
        speed.time_cold_starts([tmp_path / "gone.onnx"])


def test_no_space_for_the_image_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    with pytest.raises(OutputError, match="temporary folder"):
        speed.time_cold_starts([Path("one.onnx")])
