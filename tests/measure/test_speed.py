"""The cost of answering: the figures are those of the calls, and what happens if something is missing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import inkdigit.machine as machine
from inkdigit.errors import ModelFileError, NotAModelFile, OutputError, UsageError
from inkdigit.measure import speed
from inkdigit.types import DIGITS, Dataset, Part

from ..conftest import Tiny, template

SAMPLE = machine.Sample(wall_s=0.2, peak_mb=70.0)


@pytest.fixture(autouse=True)
def few(monkeypatch) -> None:
    """A few calls, and new processes that are not started."""
    for name, count in {"STARTS": 1, "CALLS": 5, "WARM_UPS": 1, "BATCH": 20, "ROUNDS": 3, "DRAWN": 4}.items():
        monkeypatch.setattr(speed, name, count)
    monkeypatch.setattr(machine, "time_process", lambda _: SAMPLE)
    monkeypatch.setattr(machine, "load", lambda: 0.0)


@pytest.fixture(autouse=True)
def no_data(tmp_path, monkeypatch) -> Path:
    """A folder without MNIST."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INKDIGIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("INKDIGIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def mnist_here(monkeypatch) -> Dataset:
    """Thirty images that are called MNIST; three of its twelve test images have a wrong label."""
    images = np.stack([template(i % 10) for i in range(30)])
    labels = np.arange(30) % 10
    labels[18:21] = (labels[18:21] + 1) % 10
    dataset = Dataset("mnist", DIGITS, Part(images[:18], labels[:18]), test=Part(images[18:], labels[18:]))
    monkeypatch.setattr(speed, "find_data", lambda _: Path())
    monkeypatch.setattr(speed, "open_data", lambda *_, **__: dataset)
    return dataset


class Clock:
    """A clock that advances by the next of `seconds` at every second reading."""

    def __init__(self, seconds: list[float]) -> None:
        self.ticks = iter(np.cumsum([tick for second in seconds for tick in (0.0, second)]).tolist())

    def perf_counter(self) -> float:
        return next(self.ticks)


class Counting:
    """A recogniser that only stores what it is asked to predict."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    def predict(self, pictures: object) -> list[object]:
        self.calls.append(pictures)
        return []


def test_a_glance_predicts_drawn_digits_in_one_call(monkeypatch):
    monkeypatch.setattr(speed, "GLANCE", 12)
    first, second = Counting(), Counting()
    found = speed.glance([first, second])
    assert [(one.rounds, one.batch) for one in found] == [(3, 12), (3, 12)]
    assert [images.shape for images in first.calls] == [(12, 28, 28)] * 4
    assert second.calls[0] is first.calls[0]
    assert len({asked.tobytes() for asked in first.calls[0]}) == 10


def test_single_images_take_turns_and_the_warm_up_is_not_counted(monkeypatch):
    monkeypatch.setattr(speed, "time", Clock([9.0, 0.001, 0.002, 0.003, 0.004, 0.1]))
    recognizer = Counting()
    found = speed.time_singles(recognizer, ["a", "b"])
    assert recognizer.calls == ["a", "b", "a", "b", "a", "b"]
    assert found.calls == 5
    assert found.p50_ms == pytest.approx(3)
    assert 90 < found.p99_ms <= 100


def test_images_per_second_are_those_of_the_median_and_the_best_round(monkeypatch):
    monkeypatch.setattr(speed, "time", Clock([9.0, 0.5, 0.1, 0.2]))
    recognizer = Counting()
    images = np.zeros((10, 28, 28), np.uint8)
    found = speed.time_batches(recognizer, images)
    assert len(recognizer.calls) == 4
    assert (found.rounds, found.batch) == (3, 10)
    assert (found.pictures_per_s, found.best_pictures_per_s) == (pytest.approx(50), pytest.approx(100))


def test_cold_starts_take_turns_and_the_first_round_does_not_count(monkeypatch):
    monkeypatch.setattr(speed, "STARTS", 3)
    walls = iter([9, 9, 9, 0.10, 0.2, 0.50, 0.11, 0.3, 0.52, 0.12, 0.4, 0.51])
    commands = []

    def time_process(command: list[str]) -> machine.Sample:
        commands.append(command)
        assert command[-2] != "--model" or Path(command[-3]).read_bytes().startswith(b"\x89PNG")
        return machine.Sample(next(walls), float(len(commands)))

    monkeypatch.setattr(machine, "time_process", time_process)
    one, other = speed.time_cold_starts([Path("/one.onnx"), Path("/other.onnx")])
    assert (one.starts, one.cold_start_s, one.libraries_s, one.peak_mb) == (3, 0.3, 0.11, 8.0)
    assert (other.cold_start_s, other.libraries_s, other.peak_mb) == (0.51, 0.11, 9.0)
    assert [command[-1] for command in commands] == [speed.LIBRARIES, "/one.onnx", "/other.onnx"] * 4
    assert not Path(commands[1][-3]).exists()  # the image is deleted


def test_without_a_peak_from_the_system_there_is_none(monkeypatch):
    monkeypatch.setattr(machine, "time_process", lambda _: machine.Sample(0.2, None))
    assert speed.time_cold_starts([Path("one.onnx")])[0].peak_mb is None


def test_every_figure_of_a_model_is_measured(tiny_file, mnist_here, lines, log):
    found = speed.benchmark([str(tiny_file)], log=log)
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
    assert model.batch.batch == len(mnist_here.part("test"))
    assert 0 < model.batch.pictures_per_s <= model.batch.best_pictures_per_s
    assert not any("MNIST" in line or "busy" in line for line in lines)


@pytest.mark.usefixtures("mnist_here")
def test_the_figures_as_json_have_their_units_in_their_names(tiny_file):
    found = json.loads(json.dumps(speed.benchmark([str(tiny_file)]).to_json(), allow_nan=False))
    assert set(found["machine"]) == {"processor", "cores", "system", "python", "onnxruntime", "load_before"}
    (model,) = found["models"]
    assert set(model["cold_start"]) == {"starts", "cold_start_s", "libraries_s", "peak_mb"}
    assert set(model["array"]) == set(model["png"]) == {"calls", "p50_ms", "p99_ms"}
    assert set(model["batch"]) == {"rounds", "batch", "pictures_per_s", "best_pictures_per_s"}
    assert set(model["accuracy"]) == {"n", "accuracy", "accuracy_ci95", "warning"}


def test_without_mnist_drawn_images_are_timed_and_the_next_step_is_logged(tiny_file, lines, log):
    (model,) = speed.benchmark([str(tiny_file)], log=log).models
    assert model.accuracy is None
    assert model.batch.batch == 20
    assert len([line for line in lines if "inkdigit data get mnist" in line]) == 1


def test_a_training_split_is_not_used_as_a_test_split(tiny_file, mnist_here, monkeypatch, lines, log):
    monkeypatch.setattr(speed, "open_data", lambda *_, **__: Dataset("mnist", DIGITS, mnist_here.train))
    assert speed.benchmark([str(tiny_file)], log=log).models[0].accuracy is None
    assert any("MNIST's test split" in line for line in lines)


@pytest.mark.usefixtures("mnist_here")
def test_a_model_that_does_not_read_digits_is_timed_without_accuracy(tmp_path, lines, log):
    letters = Tiny(classes=tuple("abcdefghij")).write(tmp_path / "letters.onnx")
    (model,) = speed.benchmark([str(letters)], log=log).models
    assert model.accuracy is None
    assert not any("MNIST" in line for line in lines)


@pytest.mark.parametrize(("load", "logged"), [(1.1, True), (0.9, False), (None, False)])
def test_a_busy_machine_is_logged(tiny_file, monkeypatch, lines, log, load, logged):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    monkeypatch.setattr(machine, "load", lambda: load)
    found = speed.benchmark([str(tiny_file)], log=log)
    assert found.machine.load_before == load
    assert any("too long" in line for line in lines) == logged


def test_errors_come_before_anything_is_measured(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "time_process", lambda _: pytest.fail("a process was started"))
    with pytest.raises(UsageError, match="Did you mean fast"):
        speed.benchmark([str(tiny_file), "fats"])
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(tiny_file.read_bytes()[:1000])
    with pytest.raises(NotAModelFile, match="broken"):
        speed.benchmark([str(tiny_file), str(broken)])


def test_a_fresh_process_that_fails_is_an_error(tmp_path, monkeypatch):
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match=r"does not answer.*There is no model '.*gone.onnx'"):
        speed.time_cold_starts([tmp_path / "gone.onnx"])


def test_no_space_for_the_image_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    with pytest.raises(OutputError, match="temporary folder"):
        speed.time_cold_starts([Path("one.onnx")])
