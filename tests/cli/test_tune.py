"""`tune`: what it prints, what it rejects, and that it loses no result, however it is stopped."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from inkdigit.cli.tune import _print
from inkdigit.errors import pip_install
from inkdigit.training.recipe import Recipe
from inkdigit.tuning.study import DATABASE
from inkdigit.tuning.tune import PAGE, START, WINNER, Tuned
from inkdigit.tuning.winner import Comparison

from .conftest import TINY, assert_one_error, command, environment

SPACE = "learning_rate = { low = 1e-3, high = 1e-1, log = true }\n[budget]\nepochs = 0"


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.toml"
    path.write_text(SPACE, encoding="utf-8")
    return path


def test_what_cannot_be_tuned_is_one_error(inkdigit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "typo.toml").write_text("learning_rat = { low = 0.1, high = 1.0 }", encoding="utf-8")
    (tmp_path / "type.toml").write_text("batch = { low = 0.1, high = 1.0 }", encoding="utf-8")
    (tmp_path / "empty.toml").write_text("learning_rate = { low = 0.2, high = 0.1 }", encoding="utf-8")
    digits = ["fast", "--data", "sklearn-digits"]
    for words, code, text in (
        (["fats"], 2, "Did you mean fast?"),
        (["fast", "--space", "none.toml"], 2, "There is no space file none.toml"),
        (["fast", "--space", "typo.toml"], 2, "unknown recipe field 'learning_rat'. Did you mean learning_rate?"),
        (["fast", "--space", "type.toml"], 2, "the ends of batch must be whole numbers"),
        (["fast", "--space", "empty.toml"], 2, "the range of learning_rate is empty"),
        (["fast", "--data", "none.npz"], 4, "There is no none.npz"),
        ([*digits, "--storage", "sqlite:////none/x.db"], 2, "The storage sqlite:////none/x.db"),
        ([*digits, "--storage", "oracle://u:pw@host"], 2, "The storage oracle://u:***@host"),
        ([*digits, "--out", "type.toml"], 9, "type.toml"),
    ):
        assert_one_error(inkdigit("tune", *words), code, text)
        assert {path.name for path in tmp_path.iterdir()} == {"typo.toml", "type.toml", "empty.toml"}, words


@pytest.mark.parametrize(("module", "extra"), [("optuna", "tune"), ("torch", "train")])
def test_without_a_library_the_extra_is_named(module, extra):
    code = (
        f"import sys; sys.modules['{module}'] = None; sys.argv = ['inkdigit', 'tune', 'fast']; "
        "from inkdigit.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 7
    assert done.stderr == f"Error: Tuning needs {module}. Install it with: {pip_install(extra)}\n"


def states(folder: Path) -> list[str]:
    """The states of the trials that have come through an epoch, while somebody else may be at them."""
    epochs = "SELECT trial_id FROM trial_intermediate_values"
    try:
        with closing(sqlite3.connect(f"{(folder / DATABASE).as_uri()}?mode=ro", uri=True)) as database:
            return [state for (state,) in database.execute(f"SELECT state FROM trials WHERE trial_id IN ({epochs})")]
    except sqlite3.OperationalError:  # there is no study yet
        return []


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no such signals on Windows")
def test_a_search_survives_ctrl_c_and_a_kill_and_ends_as_one(recipe, source, space, tmp_path):
    recipe.write_text(TINY.replace("epochs = 2", "epochs = 40"), encoding="utf-8")
    out = tmp_path / "out"
    words = command("tune", recipe, "--space", space, "--data", source, "--trials", 4, "--jobs", 1, "--out", out)

    def stop(how: signal.Signals) -> tuple[int, str]:
        """Stop it once one more trial has ended and another is under way."""
        ended = states(out).count("COMPLETE")
        process = subprocess.Popen(
            words,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
        )
        until = time.monotonic() + 240
        while (seen := states(out)).count("COMPLETE") == ended or "RUNNING" not in seen:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(how)
        stderr = process.communicate(timeout=120)[1]
        return process.returncode, stderr

    code, stderr = stop(signal.SIGINT)
    assert code == 130, stderr
    assert "Traceback" not in stderr
    assert stderr.strip().splitlines()[-1].startswith("Stopped after ")
    assert stderr.strip().endswith(f"Go on with: the same command, and --out {out}")
    assert not (out / WINNER).exists()

    code, stderr = stop(signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert stderr.startswith("Continuing after ")

    done = subprocess.run(words, env=environment(), capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    assert "interrupted trials run again" in done.stderr
    best, *_, winner, page = done.stdout.splitlines()
    assert best.startswith("Best        trial ")
    assert " of 4: " in best
    assert (winner, page) == (f"Winner      {out / WINNER}", f"Page        {out / PAGE}")
    assert f"inkdigit train {out}" in done.stderr
    assert states(out).count("COMPLETE") + states(out).count("PRUNED") == 4
    assert Recipe.load(out / WINNER).epochs == Recipe.load(out / START).epochs == 40
    assert (out / PAGE).is_file()


@pytest.mark.parametrize(
    ("winner", "next_steps"),
    [
        ((0.99, 0.991, 0.992), ["winner.toml"]),
        ((0.95, 0.951, 0.952), ["start.toml"]),
        ((0.95, 0.99, 0.975), ["start.toml --seeds 0-5", "winner.toml --seeds 0-5"]),
        (None, ["start.toml"]),
    ],
)
def test_the_next_step_follows_the_verdict(tmp_path, capsys, winner, next_steps):
    compared = None if winner is None else Comparison((1, 2, 3), (0.97, 0.9702, 0.9703), winner, 100)
    verdict = "The start is the winner." if compared is None else compared.verdict
    _print(Tuned(tmp_path, 4, 0.97, 0.98, 2, compared, verdict))
    steps = [line.strip() for line in capsys.readouterr().err.split("Next:")[1].strip().splitlines()]
    assert steps == [f"inkdigit train {tmp_path}/{step}" for step in next_steps]
