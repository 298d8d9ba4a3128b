"""Rows go where teams look, each read from what it leaves on disk: TensorBoard, MLflow, W&B; also after a stop."""

from __future__ import annotations

import json
import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from inkdigit import runs
from inkdigit.errors import MissingExtra, OutputError, UsageError, pip_install
from inkdigit.training import run, tracking
from inkdigit.training.network.loop import Row, Sample

from .conftest import drawn_digits, only_training, tiny

__all__ = ["only_training"]
pytestmark = pytest.mark.filterwarnings(  # of these libraries; a thread of TensorBoard's goes on where its disk is full
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)
ROW = Row(2, 40, 0.1, 0.5, 0.9, None, None, 1.0, 90.0, [Sample(20, 0.2, 0.7, 0.8), Sample(40, 0.1, 0.4, 0.95)])


def test_the_points_of_an_epoch_are_its_samples_and_its_figures():
    points = tracking.points(ROW)
    assert points[20] == {"step_loss": 0.7, "step_accuracy": 0.8, "learning_rate": 0.2}
    assert points[40] == {
        **{"step_loss": 0.4, "step_accuracy": 0.95, "learning_rate": 0.1, "epoch": 2},
        **{"train_loss": 0.5, "train_accuracy": 0.9, "seconds": 1.0, "images_per_second": 90.0},
    }


def test_places_that_cannot_be_used_are_one_error(monkeypatch):
    assert tracking.check("tensorboard") == ("tensorboard",)
    with pytest.raises(UsageError, match=r"Nothing is logged to 'tensorbord'.*Did you mean tensorboard"):
        tracking.check(["tensorbord"])
    monkeypatch.setitem(tracking.LIBRARIES, "mlflow", "no_such_library")
    with pytest.raises(MissingExtra, match=re.escape(pip_install("mlflow"))):
        tracking.check(["mlflow"])


class Deaf:
    errors = (TimeoutError,)

    def __init__(self) -> None:
        self.calls = 0

    def add(self, *_: object) -> None:
        self.calls += 1
        raise TimeoutError("no answer")


def test_a_place_that_stops_answering_does_not_stop_the_training(log, lines):
    deaf = Deaf()
    places = tracking.Tracking(log, {"wandb": deaf})
    places.row(ROW)
    places.row(ROW)
    places.close(finished=True)
    assert deaf.calls == 1
    assert lines == ["wandb does not answer, and is left out from here on: no answer"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # tensorboard's own thread
def test_a_full_disk_leaves_out_tensorboard(tmp_path, log, lines):
    pytest.importorskip("tensorboard")
    with tracking.opened({"tensorboard": ""}, tmp_path / "run", tiny(), after_step=0, log=log) as places:
        shutil.rmtree(tmp_path / "run")  # for its writer the same as no room: an OSError
        places.row(ROW)
        places.row(ROW)
    (line,) = lines
    assert line.startswith("tensorboard does not answer, and is left out from here on: ")
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError),
        tracking.opened({"tensorboard": ""}, tmp_path / "file", tiny(), after_step=0, log=log),
    ):
        pass


def stop(row: Row) -> None:
    if row.epoch == 2:
        raise KeyboardInterrupt


def logged(folder: Path, place: str) -> dict[str, str]:
    """A run of three epochs that is stopped after two of them and resumed; its names in the places."""
    with pytest.raises(KeyboardInterrupt):
        run.train(tiny(epochs=3), data=drawn_digits(), out=folder, on_epoch=stop, log_to=place)
    names = json.loads((folder / runs.ENVIRONMENT).read_text(encoding="utf-8"))["logged"]
    run.resume(folder, data=drawn_digits())
    return names


def expected(folder: Path, name: str) -> list[tuple[int, float]]:
    """Steps and values of a column of metrics.csv."""
    return [(int(row["step"]), pytest.approx(row[name], rel=1e-5)) for row in run.Run(folder).history]


@pytest.mark.usefixtures("only_training")
def test_tensorboard_reads_one_run_with_every_epoch_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(tmp_path / "run", "tensorboard")
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [(point.step, point.value) for point in events.Scalars("train_loss")] == expected(
        tmp_path / "run", "train_loss"
    )
    report = json.loads((tmp_path / "run" / runs.REPORT).read_text(encoding="utf-8"))
    assert events.Scalars("test_accuracy")[-1].value == pytest.approx(report["accuracy"])
    assert len(events.Scalars("epoch")) == 3
    (text,) = events.Tensors("recipe/text_summary")
    assert b'optimizer = "adam"' in text.tensor_proto.string_val[0]


@pytest.mark.usefixtures("only_training")
def test_mlflow_reads_one_run_with_every_epoch_once(tmp_path, monkeypatch):
    pytest.importorskip("mlflow")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    names = logged(tmp_path / "run", "mlflow")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("inkdigit")
    (found,) = client.search_runs([experiment.experiment_id])
    assert (found.info.run_id, found.info.run_name, found.info.status) == (names["mlflow"], "run", "FINISHED")
    assert found.data.params["optimizer"] == "adam"
    history = client.get_metric_history(found.info.run_id, "train_loss")
    assert sorted((point.step, point.value) for point in history) == expected(tmp_path / "run", "train_loss")
    assert "test_accuracy" in found.data.metrics


def records(path: Path) -> Iterator[Any]:
    """The records of W&B's file: blocks of LevelDB's log, after a header of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32_768 - at % 32_768 < 7:
            at += 32_768 - at % 32_768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        part, at = part + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            part = b""
            yield record


@pytest.mark.usefixtures("only_training")
def test_wandb_has_two_offline_parts_of_one_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    names = logged(tmp_path / "run", "wandb")
    losses = []
    for path in sorted(tmp_path.glob("wandb/offline-run-*/*.wandb")):
        for record in records(path):
            if record.HasField("run"):
                assert (record.run.run_id, record.run.display_name) == (names["wandb"], "run")
            if record.HasField("history"):
                values = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
                losses += [(record.history.step.num, values["train_loss"])] if "train_loss" in values else []
    assert losses == expected(tmp_path / "run", "train_loss")
