"""What the extra `report` promises: pages, CSVs and downloads with none of the libraries of training."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from inkdigit.errors import MissingExtra

from .conftest import environment

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
MODULES = {"scikit-learn": "sklearn"}  # the name that is imported, where it is another one
WITHOUT = """
import sys
for name in {blocked}:
    sys.modules[name] = None
from inkdigit.cli.app import app
for words in {commands}:
    app(words, standalone_mode=False)
import inkdigit.data.mirrors, pooch, requests
"""


def libraries(extra: str) -> set[str]:
    """The modules that an extra installs itself."""
    names = {Requirement(each).name for each in EXTRAS[extra]} - {"inkdigit"}
    return {MODULES.get(name, name).replace("-", "_") for name in names}


def test_train_installs_what_report_needs():
    assert "inkdigit[report]" in EXTRAS["train"]
    assert libraries("train").isdisjoint(libraries("report"))


def test_pages_and_submissions_are_written_without_the_libraries_of_training(tmp_path):
    rows = [",".join(f"pixel{i}" for i in range(784)), *(",".join(["0"] * 400 + ["255"] * 384) for _ in range(2))]
    (tmp_path / "test.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    picture = str(ROOT / "examples" / "7-pen-on-paper.png")
    commands = [
        ["explain", picture, "--model", "tiny", "--out", "explained.html"],
        ["submit", "test.csv", "--model", "tiny", "--out", "mine.csv"],
    ]
    code = WITHOUT.format(blocked=sorted(libraries("train")), commands=commands)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"They need torch. {MissingExtra('', 'train').args[0].removeprefix('. ')}" in done.stderr
    made = {"explained.html", "mine.csv", "mine-answers.html", "mine-answers.png"}
    assert made <= {path.name for path in tmp_path.iterdir()}
