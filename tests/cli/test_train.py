"""`train`, `kaggle`, `--resume`: from a file to a run, and what a run that is stopped or cannot begin says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inkdigit import runs
from inkdigit.data import sources
from inkdigit.data.splits import SplitRule
from inkdigit.errors import MissingData, pip_install
from inkdigit.files import read_rows
from inkdigit.training import run as training_run
from inkdigit.training.network import checkpoint, loop
from inkdigit.training.own import functions
from inkdigit.training.recipe import Recipe

from ..training.conftest import one_thread, only_training
from .conftest import TINY, assert_one_error, command, draw, environment, write_kaggle

__all__ = ["one_thread", "only_training"]  # a run repeats bit for bit with the same number of threads


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    """Start a training in a process of its own."""
    return subprocess.Popen(
        command("train", *words),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )


def wait_for_rows(folder: Path, rows: int, process: subprocess.Popen[str]) -> None:
    """Wait until a run has finished so many epochs."""
    until = time.monotonic() + 120
    while len(read_rows(folder / runs.METRICS)) < rows:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_says_what_it_came_to_and_what_may_come_next(inkdigit, recipe, source, tmp_path):
    out = tmp_path / "my run"
    output = inkdigit("train", recipe, "--data", source, "--out", out, "--seed", 3, "--set", "filters=[4, 6]")
    assert output.code == 0, output.err
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    first, seconds, model, page = output.out.splitlines()
    right = round(report["accuracy"] * 12)
    assert first.startswith(f"Accuracy    {report['accuracy'] * 100:.2f} % on the test split ({right} of 12; 95 %")
    assert seconds.startswith("Trained in  ")
    assert model == f"Model       {out / 'model.onnx'}"
    assert page == f"Report      {out / 'report.html'}"
    assert f"inkdigit predict picture.png --model '{out}'" in output.err
    assert list(report["seconds"]) == ["import", "load", "train", "export", "evaluate", "report"]
    assert Recipe.load(out) == Recipe.load(recipe, {"seed": 3, "filters": [4, 6], "data": str(source)})
    assert runs.is_finished(out)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "either a RECIPE or --resume RUN"),
        (["fast", "--resume", "x"], 2, "either a RECIPE or --resume RUN"),
        (["--resume", "x", "--seed", "0"], 2, "none of --data --out --seed --set --log"),
        (["--resume", "x", "--set", "epochs=3"], 2, "none of --data --out --seed --set --log"),
        (["--resume", "x", "--log", "wandb"], 2, "none of --data --out --seed --set --log"),
        (["fast", "--log", "tensorbord"], 2, "Did you mean tensorboard?"),
        (["fast", "--net", "none.py:build"], 2, "--net: there is no file none.py"),
        (["fast", "--net", "a.py:build", "--set", "filters=[3]"], 2, "--net is all of the network"),
        (
            ["fast", "--set", "layers=['conv 8 3', 'flaten']"],
            2,
            "layer 2, 'flaten': there is no such layer. Did you mean",
        ),
        (["fast", "--set", "net=external"], 2, "fast has a network of your own, which is not in it"),
        (["--resume", "no-such-run"], 2, "There is no run called 'no-such-run'"),
        (["fats"], 2, "Did you mean fast?"),
        (["none.toml"], 2, "There is no recipe 'none.toml'"),
        (["fast", "--set", "epochz=3"], 2, "unknown recipe key 'epochz'. Did you mean epochs?"),
        (["fast", "--set", "epochs=2.5"], 2, "epochs: Input should be a valid integer"),
        (["fast", "--set", "epochs"], 2, "Expected: key=value"),
        (["fast", "--set", "betas=[2, 3]"], 2, "betas: Input should be less than 1"),
        (["fast", "--seed", "-1"], 2, "seed: Input should be greater"),
        (["fast", "--data", "none.npz"], 4, "There is no none.npz"),
        (["fast", "--data", "minst"], 2, "Did you mean mnist?"),
        (["fast", "--device", "tpu"], 2, "Unknown device 'tpu'"),
    ],
)
def test_what_cannot_be_trained_is_one_error(inkdigit, tmp_path, monkeypatch, words, code, text):
    monkeypatch.chdir(tmp_path)
    assert_one_error(inkdigit("train", *words), code, text)
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_with_nonsense_is_one_error(inkdigit, tmp_path, source):
    for text, problem in [
        ("epochs = 'three'", "epochs: Input should be a valid integer"),
        ("epochs = ", "is not a TOML file"),
    ]:
        (tmp_path / "r.toml").write_text(text, encoding="utf-8")
        assert_one_error(inkdigit("train", tmp_path / "r.toml", "--data", source), 2, problem)


def test_an_out_that_is_taken_is_one_error(inkdigit, recipe, source, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine", encoding="utf-8")
    output = inkdigit("train", recipe, "--data", source, "--out", tmp_path / "taken")
    assert_one_error(output, 9, "taken is taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["thesis.tex"]


def test_broken_data_is_one_error_and_leaves_no_run(inkdigit, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    csv = write_kaggle(tmp_path / "train.csv", *draw(3))
    csv.write_text(csv.read_text(encoding="utf-8").replace(",0\n", ",300\n", 1), encoding="utf-8")
    assert_one_error(inkdigit("train", recipe, "--data", csv), 4, "300")
    assert not (tmp_path / "runs").exists()


def test_without_torch_the_extra_is_named():
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['inkdigit', 'train', 'fast']; "
        "from inkdigit.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 7
    assert done.stderr == f"Error: Training needs torch. Install it with: {pip_install('train')}\n"


@pytest.mark.usefixtures("only_training")
def test_changes_on_the_command_line_are_in_the_recipe_of_the_run(inkdigit, recipe, source, tmp_path):
    words = ["--set", "optimizer=sgd", "--set", "batch_norm=false", "--set", "pooling=['max', 'none']"]
    assert inkdigit("train", recipe, "--data", source, "--out", tmp_path / "run", *words, "--device", "cpu").code == 0
    written = Recipe.load(tmp_path / "run")
    assert (written.optimizer, written.batch_norm, written.pooling) == ("sgd", False, ("max", "none"))


@pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")
def test_ctrl_c_in_mid_epoch_is_one_line_and_the_run_can_be_resumed(inkdigit, recipe, source, tmp_path, only_training):  # noqa: ARG001
    recipe.write_text(TINY.replace("epochs = 2", "epochs = 100_000"), encoding="utf-8")
    process = start(recipe, "--data", source, "--out", "run", cwd=tmp_path)
    wait_for_rows(tmp_path / "run", 1, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    *progress, line = filter(None, err.splitlines())
    assert all(text.startswith("epoch ") for text in progress)
    assert line.startswith("Stopped in epoch ")
    assert line.endswith("Go on with: inkdigit train --resume run")
    assert not runs.is_finished(tmp_path / "run")
    (tmp_path / "run" / "recipe.toml").write_text(TINY, encoding="utf-8")  # two epochs: it has come far enough
    assert inkdigit("train", "--resume", tmp_path / "run").code == 0
    assert runs.is_finished(tmp_path / "run")


@pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")
def test_a_killed_run_resumes_to_the_weights_of_one_never_stopped(inkdigit, recipe, source, tmp_path, only_training):  # noqa: ARG001
    recipe.write_text(TINY.replace("epochs = 2", "epochs = 40\nshift_px = 2\ndropout = 0.1"), encoding="utf-8")
    process = start(recipe, "--data", source, "--out", "killed", cwd=tmp_path)
    wait_for_rows(tmp_path / "killed", 3, process)
    process.kill()
    process.communicate()
    assert not runs.is_finished(tmp_path / "killed")
    output = inkdigit("train", "--resume", tmp_path / "killed")
    assert output.code == 0, output.err
    assert output.err.startswith("Going on after epoch ")
    assert inkdigit("train", recipe, "--data", source, "--out", tmp_path / "whole").code == 0
    killed, whole = ((tmp_path / name / checkpoint.FILE).read_bytes() for name in ("killed", "whole"))
    assert killed == whole


def test_a_finished_run_is_not_resumed(inkdigit, model):
    assert_one_error(inkdigit("train", "--resume", model), 2, "is finished")


def test_ctrl_c_while_the_data_is_read_is_one_line(inkdigit, recipe, monkeypatch, tmp_path):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "open_data", stop)
    output = inkdigit("train", recipe)
    assert (output.code, output.out, output.err.strip()) == (130, "", "Interrupted.")
    assert not (tmp_path / "runs").exists()


def test_kaggle_trains_measures_and_submits_in_one_go(inkdigit, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = write_kaggle(tmp_path / "train.csv", *draw(90))
    test = write_kaggle(tmp_path / "test.csv", draw(8, seed=2)[0], None)
    output = inkdigit("kaggle", train, test, "--recipe", recipe, "--out", "mine.csv")
    assert output.code == 0, output.err
    assert "on the validation split (" in output.out
    assert "of 9;" in output.out  # a tenth
    assert output.out.splitlines()[-3:] == [
        "Submission  mine.csv",
        "Answers     mine-answers.html",
        "Grid        mine-answers.png",
    ]
    assert Path("mine-answers.html").is_file()
    assert Path("mine-answers.png").is_file()
    assert "Warning" not in output.err
    header, *rows = Path("mine.csv").read_text(encoding="utf-8").splitlines()
    assert header == "ImageId,Label"
    assert [row.split(",")[0] for row in rows] == [str(i) for i in range(1, 9)]
    (folder,) = Path("runs").iterdir()
    assert runs.is_finished(folder)
    again = inkdigit("submit", test, "--model", folder, "--out", "again.csv")
    assert again.code == 0
    assert Path("again.csv").read_text(encoding="utf-8") == Path("mine.csv").read_text(encoding="utf-8")


def test_a_broken_test_csv_is_known_before_the_training(inkdigit, recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = write_kaggle(tmp_path / "train.csv", *draw(9))
    (tmp_path / "test.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    assert_one_error(inkdigit("kaggle", train, "test.csv", "--recipe", recipe), 4, "test.csv")
    assert not (tmp_path / "runs").exists()


def test_the_first_run_falls_back_to_the_digits_of_scikit_learn(inkdigit, model, picture, monkeypatch):
    asked, digits = [], sources.open_data

    def open_data(name, **more):
        asked.append(name)
        if name == "mnist":
            raise MissingData("There is no mnist")
        return digits(name, **more)

    monkeypatch.setattr(sources, "open_data", open_data)
    monkeypatch.setattr(
        training_run, "train", lambda _, *, data, **__: asked.append(data.name) or training_run.Run(model)
    )
    (picture / "d.png").unlink()
    output = inkdigit("first-run", picture)
    assert output.code == 0, output.err
    assert asked == ["mnist", "sklearn-digits", "sklearn-digits"]
    assert "MNIST cannot be fetched: training on the 1,797 digits" in output.err
    assert "read by the bundled model" in output.err
    assert f"{picture / 'b.png'}  " in output.out


def test_the_first_run_needs_no_examples(inkdigit, model, tmp_path, monkeypatch):
    """As after `pip install`, in a folder of one's own: it draws what it reads."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "open_mnist_or_bundled", lambda **_: sources.open_data("sklearn-digits"))
    monkeypatch.setattr(training_run, "train", lambda *_, **__: training_run.Run(model))
    output = inkdigit("first-run")
    assert output.code == 0, output.err
    answers = [line.split() for line in output.out.splitlines() if ".png" in line]
    assert [(Path(name).stem, label) for name, label, *_ in answers] == [(str(i), str(i)) for i in range(10)]


def test_the_recipe_of_the_first_run_fits_the_small_set_too():
    recipe = Recipe.load("fast")
    parts = SplitRule.from_recipe(recipe.model_dump()).split(sources.open_data("sklearn-digits"))
    assert len(parts.train) > 1000
    steps, epochs = loop.length(recipe, len(parts.train))
    assert steps * epochs >= recipe.min_steps


@pytest.mark.usefixtures("only_training")
def test_a_pipe_gets_a_line_an_epoch_and_quiet_gets_none(inkdigit, recipe, source, tmp_path):
    words = ("train", recipe, "--data", source, "--set", "epochs=2", "--device", "cpu")
    loud = inkdigit(*words, "--out", tmp_path / "loud")
    assert re.findall(r"^epoch (\d)/2 · loss \d", loud.err, re.MULTILINE) == ["1", "2"]
    assert "epoch" not in loud.out
    assert inkdigit("--quiet", *words, "--out", tmp_path / "quiet").err == ""


@pytest.fixture
def kaggle_files(tmp_path, monkeypatch) -> tuple[Path, Path]:
    monkeypatch.chdir(tmp_path)
    train = write_kaggle(tmp_path / "train.csv", *draw(90))
    return train, write_kaggle(tmp_path / "test.csv", draw(8, seed=2)[0], None)


def test_a_resumed_run_of_kaggle_says_how_to_get_the_submission(inkdigit, recipe, kaggle_files):
    stop = pytest.MonkeyPatch()

    def press(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    stop.setattr(training_run.trial, "epochs", press)
    words = ("kaggle", *kaggle_files, "--recipe", recipe, "--out", "mine.csv")
    stopped = inkdigit(*words)
    stop.undo()
    assert stopped.code == 130, stopped.err
    (folder,) = Path("runs").iterdir()
    assert f"Go on with: inkdigit train --resume {folder}" in stopped.err
    resumed = inkdigit("train", "--resume", folder)
    step = f"inkdigit submit {kaggle_files[1]} --model {folder} --out mine.csv"
    assert step in resumed.err
    assert inkdigit(*step.split()[1:]).code == 0
    assert len(Path("mine.csv").read_text(encoding="utf-8").splitlines()) == 9


def test_a_kaggle_submission_is_not_replaced_after_minutes_of_training(inkdigit, recipe, kaggle_files):
    Path("submission.csv").write_text("my best one", encoding="utf-8")
    assert_one_error(inkdigit("kaggle", *kaggle_files, "--recipe", recipe), 9, "submission.csv exists already")
    assert not Path("runs").exists()


def test_kaggle_trains_on_all_rows_for_the_final_entry(inkdigit, recipe, kaggle_files):
    output = inkdigit("kaggle", *kaggle_files, "--recipe", recipe, "--all-rows")
    assert output.code == 0, output.err
    assert "on the train split (" in output.out
    assert "of 90;" in output.out
    assert "Nothing was held out" in output.err
    (folder,) = Path("runs").iterdir()
    assert "nothing was held out" in (folder / "report.html").read_text(encoding="utf-8")
    measured = inkdigit("evaluate", folder, "--data", kaggle_files[0])
    assert "Warning: These images trained the model" in measured.err
    keep = inkdigit("kaggle", *kaggle_files, "--recipe", recipe, "--all-rows", "--force", "--set", "keep=best")
    assert_one_error(keep, 2, "need a protocol that holds images out")


def test_an_ensemble_of_seeds_makes_a_submission(inkdigit, recipe, kaggle_files):
    train, test = kaggle_files
    assert inkdigit("train", recipe, "--data", train, "--seeds", "0-1", "--out", "two").code == 0
    alone = inkdigit("submit", test, "--model", "two")
    assert_one_error(alone, 2, "Join its seeds in one model with: inkdigit ensemble two --out two.onnx")
    joined = inkdigit("ensemble", "two", "--out", "two.onnx")
    assert joined.code == 0, joined.err
    assert joined.out.count("Member ") == 2
    assert inkdigit("submit", test, "--model", "two.onnx").code == 0
    assert len(Path("submission.csv").read_text(encoding="utf-8").splitlines()) == 9
    assert_one_error(inkdigit("ensemble", "two", "--out", "two.onnx"), 9, "two.onnx exists already")


MODEL = """\
from torch import nn

def build(outputs):
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, outputs))
"""


@pytest.mark.usefixtures("only_training")
def test_a_network_of_a_file_is_trained_and_named(inkdigit, recipe, source, tmp_path, monkeypatch):
    monkeypatch.setattr(functions, "check_export", lambda *_: None)  # tested with the network itself
    (tmp_path / "model.py").write_text(MODEL, encoding="utf-8")
    net = f"{tmp_path / 'model.py'}:build"
    output = inkdigit(
        "train", recipe, "--data", source, "--net", net, "--out", tmp_path / "run", "--log", "tensorboard"
    )
    assert output.code == 0, output.err
    assert f"tensorboard --logdir {tmp_path / 'run'}" in output.err
    written = Recipe.load(tmp_path / "run")
    assert (written.net, written.net_source) == ("external", "model.py:build")
    again = inkdigit("train", tmp_path / "run", "--data", source, "--out", tmp_path / "again")
    assert_one_error(again, 2, "has a network of your own, model.py:build, which is not in it")
