"""What the drills work on: a recipe of seconds, a few images, and undisturbed runs of two seeds.

In: an empty folder, scikit-learn's digits. Out: `Material`, files in that folder that no drill changes.
"""

from __future__ import annotations

import csv
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
from PIL import Image

from benchmarks.hardening.soak_checks import CHECKPOINT
from benchmarks.hardening.soak_commands import watch
from inkdigit import runs
from inkdigit.data.readers import corrections
from inkdigit.model.recognizer import find
from inkdigit.synth import drawn

DATA = "sklearn-digits"  # ships with scikit-learn
EPOCHS = 40
SEEDS = (0, 1)
RECIPE = f"""
name = "soak"
filters = [4, 8, 8]
kernel = [5, 3, 3]
pooling = ["stride", "average", "none"]
pool_first = true
padding = "valid"
head = "global_max"
optimizer = "muon"
learning_rate = 0.3
momentum = 0.8
schedule = "one-cycle"
batch = 256
epochs = {EPOCHS}
validation = 0.05
"""
# A start that hardly learns, so that the search finds a better one and trains both in full.
START = """
name = "slow"
filters = [4, 8]
kernel = 5
pooling = "stride"
padding = "valid"
head = "global_max"
optimizer = "sgd"
learning_rate = 1e-4
batch = 32
epochs = 2
"""
SPACE = """
learning_rate = { low = 0.05, high = 0.5, log = true }
[budget]
epochs = 2
"""
TRAIN_PHASES = ("start", "training", "export", "report", "done")


@dataclass(frozen=True)
class Material:
    """Files that the drills read; runs and times are there after `train_runs`."""

    folder: Path
    usual: dict[str, float] = field(default_factory=dict)  # seconds of each phase of a training
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def recipe(self) -> Path:
        """The recipe of every training."""
        return self.folder / "soak.toml"

    @property
    def start(self) -> Path:
        """The recipe that a search starts from."""
        return self.folder / "slow.toml"

    @property
    def space(self) -> Path:
        """What the search may change."""
        return self.folder / "space.toml"

    @property
    def model(self) -> Path:
        """A model file with weights: a copy of a bundled one."""
        return self.folder / "fast.onnx"

    @property
    def own(self) -> Path:
        """A folder of labelled images."""
        return self.folder / "own"

    @property
    def picture(self) -> Path:
        """One of these images."""
        return self.own / "7" / "0.png"

    @property
    def train_csv(self) -> Path:
        """A training file as Kaggle's."""
        return self.folder / "train.csv"

    @property
    def test_csv(self) -> Path:
        """A test file as Kaggle's."""
        return self.folder / "test.csv"

    @property
    def corrections(self) -> Path:
        """A file with thirty corrections."""
        return self.folder / "thirty.db"

    def run(self, seed: int) -> Path:
        """The undisturbed run of a seed."""
        return self.folder / f"undisturbed-s{seed}"

    def train(self, out: Path, *, seed: int) -> list[str | Path]:
        """The command that trains a seed."""
        return ["train", self.recipe, "--data", DATA, "--seed", str(seed), "--out", out]

    def train_runs(self) -> None:
        """Train the undisturbed runs, if they are missing, and time each phase."""
        with self.lock:
            for seed in SEEDS:
                if runs.is_finished(self.run(seed)):
                    continue
                run = self.run(seed)
                ended, took = watch(
                    self.train(run, seed=seed), cwd=self.folder, phase=lambda run=run: training_phase(run, {})
                )
                if ended.code != 0:
                    raise RuntimeError(f"The drills cannot begin: {ended}\n{ended.err}")
                self.usual.update(took)


@dataclass(frozen=True)
class Task:
    """The arguments of a drill: how often to do it, an empty folder, and a random generator."""

    material: Material
    place: Path
    rng: Random
    n: int


def make(folder: Path) -> Material:
    """Write the files that need no training."""
    material, rng = Material(folder), np.random.default_rng(0)
    for path, text in ((material.recipe, RECIPE), (material.start, START), (material.space, SPACE)):
        path.write_text(text, encoding="utf-8")
    for number in range(30):
        path = material.own / str(number % 10) / f"{number // 10}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.digit(number % 10, rng=rng, size_px=28)).save(path)
        corrections.add(
            material.corrections, picture=path.read_bytes(), model="default", answered=None, right=str(number % 10)
        )
    pixels = [f"pixel{i}" for i in range(28 * 28)]
    for path, count, labels in ((material.train_csv, 120, True), (material.test_csv, 20, False)):
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["label", *pixels] if labels else pixels)
            for number in range(count):
                ink = drawn.digit(number % 10, rng=rng, size_px=28).ravel().tolist()
                writer.writerow([number % 10, *ink] if labels else ink)
    shutil.copyfile(find("fast"), material.model)
    return material


def files_of(run: Path) -> dict[str, tuple[int, int]]:
    """The files of a run that show how far it is, each with what changes when it is written again."""
    seen = {}
    for name in (str(CHECKPOINT), runs.METRICS, runs.MODEL):
        with suppress(OSError):
            about = (run / name).stat()
            seen[name] = about.st_ino, about.st_mtime_ns
    return seen


def training_phase(run: Path, before: dict[str, tuple[int, int]]) -> str:
    """The phase of a training, by the files that are new or changed since it began."""
    now = files_of(run)
    new = {name for name in now if now[name] != before.get(name)}
    if runs.is_finished(run):
        return "done"
    if runs.MODEL in new:
        return "report"
    if runs.METRICS in new and _epochs(run) >= EPOCHS:
        return "export"
    return "training" if new else "start"


def _epochs(run: Path) -> int:
    try:
        return (run / runs.METRICS).read_bytes().count(b"\n") - 1
    except OSError:
        return 0
