"""Where a run happened: machine, versions, commit, data; and PyTorch set so that the run can be repeated there.

In: the data set and the device. Out: the object that becomes `env.json`, and the part of it that a model's card keeps.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inkdigit.errors import DataError, TrainingError
from inkdigit.machine import processor
from inkdigit.parsing import parse_json, read_text
from inkdigit.runs import ENVIRONMENT
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset

LIBRARIES = ("inkdigit", "torch", "numpy", "onnx", "onnxruntime", "pillow", "opencv-python-headless")
# The prepared training part of MNIST, so that it is known under whatever name or folder it comes.
MNIST_SHA256 = "625d77de004da9ab432032544f7e6d5622442b033c71ce1aa72665ded471b711"
HOLDS_MNIST = ("mnist", "emnist-digits")  # both are cut from NIST's Special Database 19 and its forerunners
MOST_THREADS = 1024  # that a run can have had: no machine of today has more processors
LICENCES = {"mnist": "CC BY-SA 3.0", "fashion-mnist": "MIT", "kmnist": "CC BY-SA 4.0", "sklearn-digits": "CC BY 4.0"}


def describe(dataset: Dataset, *, source: str, device: torch.device) -> dict[str, Any]:
    """What a reader must know to repeat the run: strict JSON types. `source` is what opens the data again."""
    return {
        "argv": sys.argv,
        "started": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "data": {
            "source": source,
            "name": dataset.name,
            "sha256": dataset.sha256,
            "train": len(dataset.train),
            "test": None if dataset.test is None else len(dataset.test),
        },
    }


class _Data(BaseModel):
    """What env.json says of the data."""

    model_config = ConfigDict(strict=True)

    source: str
    name: str
    sha256: str


class _Teacher(BaseModel):
    """What env.json says of a teacher."""

    model_config = ConfigDict(strict=True)

    file: str
    sha256: str
    saw_mnist: bool


class _Environment(BaseModel):
    """What a run that is taken up reads of env.json; more may be there."""

    model_config = ConfigDict(strict=True)

    started: str
    commit: str | None
    threads: int | None = Field(None, ge=1, le=MOST_THREADS)
    libraries: dict[str, str | None]
    data: _Data
    teacher: _Teacher | None = None  # a run that began before 0.3 says nothing of one


def read(folder: Path) -> dict[str, Any]:
    """What env.json says of a run; resuming needs it.

    Raises:
        DataError: it is missing, or damaged.
    """
    path = folder / ENVIRONMENT
    try:
        about: dict[str, Any] = parse_json(read_text(path))
        _Environment.model_validate(about)
    except ValidationError as exc:
        first = exc.errors()[0]
        told = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
        raise DataError(f"{path} cannot be read ({told})", hint="Train the run anew.") from exc
    except (OSError, ValueError) as exc:
        raise DataError(f"{path} cannot be read ({exc})", hint="Train the run anew.") from exc
    return about


def provenance(recipe: Recipe, dataset: Dataset, about: dict[str, Any]) -> dict[str, Any]:
    """What a model's card says of where it comes from; `recipe` is what `restore` rebuilds the network by."""
    teacher = about.get("teacher")  # a run that began before 0.3 says nothing of one
    public = {"data": dataset.name, "teacher": teacher and teacher["file"]}  # a path is nobody's business
    saw_mnist = dataset.name in HOLDS_MNIST or dataset.sha256 == MNIST_SHA256 or bool(teacher and teacher["saw_mnist"])
    return {
        "recipe": recipe.change(public).to_toml(),
        "recipe_sha256": recipe.sha256,
        "seed": recipe.seed,
        "created": about["started"],
        "commit": about["commit"],
        "libraries": about["libraries"],
        "data": {**{k: v for k, v in about["data"].items() if k != "source"}, "licence": LICENCES.get(dataset.name)},
        "saw_mnist": saw_mnist,
        **({} if teacher is None else {"teacher": teacher}),
        **({"drawn": drawn} if (drawn := _drawn(recipe)) else {}),
    }


def _drawn(recipe: Recipe) -> str:
    """What was drawn for a training, beside the pictures of its data."""
    copies = "a stressed copy" if recipe.stressed == 1 else f"{recipe.stressed:g} stressed copies"
    amounts = {
        f"{copies} of each picture": recipe.stressed,
        f"{recipe.drawn:,} digits": recipe.drawn,
        f"{recipe.outliers:,} pictures of no digit or of several": recipe.outliers,
    }
    return ", ".join(told for told, amount in amounts.items() if amount)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Let PyTorch use only what gives the same bits again; what was set before is set back."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    memory: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # nothing reads it, and filling takes a tenth of the time
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        memory.fill_uninitialized_memory = before[1]


@contextmanager
def gpu_memory(next_step: str) -> Iterator[None]:
    """Say what may be done, `next_step`, where the memory of the GPU is full.

    Raises:
        TrainingError: it is.
    """
    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError) as exc:
        if "out of memory" not in str(exc):
            raise
        raise TrainingError("The memory of the GPU is full", hint=next_step) from exc


def _commit() -> str | None:
    """The commit of the package's own checkout, where it runs from one."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    said = []
    for question in (["ls-files", here.name], ["rev-parse", "HEAD"]):  # some other project's repository may be around
        try:
            asked = subprocess.run([*git, *question], capture_output=True, text=True, timeout=5, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        said.append(asked.stdout.strip())
    return said[1] if all(said) else None


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
