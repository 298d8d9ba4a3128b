"""`audit`: what it prints, what it writes, and its errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from inkdigit.errors import pip_install
from inkdigit.report.audit import ISSUES, PAGE

from .conftest import assert_one_error, draw


def test_it_prints_the_counts_and_the_files(inkdigit, recipe, source, tmp_path):
    out = tmp_path / "out"
    result = inkdigit("audit", source, "--recipe", recipe, "--folds", 2, "--out", out)
    assert result.code == 0, result.err
    training, copies, issues, page = result.out.splitlines()
    assert training.startswith("Training    ")
    assert " of 60 labels suspected" in training
    assert copies == "Copies      0: 0 under two labels, 0 in training and test"
    assert (issues, page) == (f"List        {out / ISSUES}", f"Page        {out / PAGE}")
    assert "Fold 2 of 2" in result.err
    assert f"head -20 {out / ISSUES}" in result.err
    assert (out / PAGE).is_file()


def test_what_cannot_be_audited_is_one_error(inkdigit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = draw(12)
    np.savez("few.npz", X=images, y=labels)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    for words, code, text in (
        (["none.npz"], 4, "There is no none.npz"),
        (["mnits"], 2, "Did you mean mnist?"),
        (["few.npz"], 2, "5 folds are too many for these"),
        (["few.npz", "--folds", "1"], 2, "Expected: 2 folds or more. Received: 1"),
        (["few.npz", "--top", "0"], 2, "a top of 1 or more"),
        (["few.npz", "--recipe", "fats"], 2, "Did you mean fast?"),
        (["few.npz", "--folds", "2", "--out", "taken"], 9, "taken is taken"),
        (["few.npz", "--seed", "-1"], 2, "seed"),
    ):
        assert_one_error(inkdigit("audit", *words), code, text)
        assert {path.name for path in Path.cwd().iterdir()} == {"few.npz", "taken"}, words


def test_without_torch_the_extra_is_named():
    code = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['inkdigit', 'audit', 'mnist']; "
        "from inkdigit.cli.app import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 7
    assert done.stderr == f"Error: An audit needs torch. Install it with: {pip_install('train')}\n"
