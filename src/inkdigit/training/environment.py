"""Where a run happened: machine, versions, commit, data.

In: the data set and the device. Out: the object that becomes `env.json`, and the part of it that a model's card has.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inkdigit.errors import DataError, reason_of
from inkdigit.machine import processor
from inkdigit.model.provenance import Data, Provenance, read_teacher
from inkdigit.parsing import parse_json, read_text
from inkdigit.runs import ENVIRONMENT
from inkdigit.training.device import name_of
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset

LIBRARIES = ("inkdigit", "torch", "numpy", "onnx", "onnxruntime", "pillow")
MAX_THREADS = 1024  # no machine of today has more processors; a larger number is damage
LICENCES = {"mnist": "CC BY-SA 3.0", "fashion-mnist": "MIT", "kmnist": "CC BY-SA 4.0", "sklearn-digits": "CC BY 4.0"}


def describe(dataset: Dataset, *, source: str, device: torch.device) -> dict[str, Any]:
    """All that is needed to repeat the run, as strict JSON types. `source` opens the data again."""
    return {
        "argv": sys.argv,
        "started": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "device": name_of(device),
        "threads": torch.get_num_threads(),
        "libraries": versions(LIBRARIES),
        "data": {
            "source": source,
            "name": dataset.name,
            "sha256": dataset.sha256,
            "train": len(dataset.train),
            "test": None if dataset.test is None else len(dataset.test),
        },
    }


class _Data(BaseModel):
    """The data in env.json."""

    model_config = ConfigDict(strict=True)

    source: str
    name: str
    sha256: str


class _Teacher(BaseModel):
    """The teacher in env.json."""

    model_config = ConfigDict(strict=True)

    file: str
    sha256: str
    saw_mnist: bool


class _Environment(BaseModel):
    """What a run that is resumed reads of env.json; more may be there."""

    model_config = ConfigDict(strict=True)

    started: str
    commit: str | None
    threads: int | None = Field(None, ge=1, le=MAX_THREADS)
    libraries: dict[str, str | None]
    data: _Data
    teacher: _Teacher | None = None  # absent from a run that began before 0.3
    logged: dict[str, str] = {}  # place → the run's ID there


def read(folder: Path) -> dict[str, Any]:
    """The content of a run's env.json, checked; resuming needs it.

    Raises:
        DataError: it is missing, or damaged.
    """
    path = folder / ENVIRONMENT
    try:
        about: dict[str, Any] = parse_json(read_text(path))
        _Environment.model_validate(about)
    except ValidationError as exc:
        first = exc.errors()[0]
        problem = f"{'.'.join(map(str, first['loc'])) or 'it'}: {first['msg']}"
        raise DataError(f"{path} cannot be read ({problem})", hint="Train the run again.") from exc
    except (OSError, ValueError) as exc:
        raise DataError(f"{path} cannot be read ({reason_of(exc)})", hint="Train the run again.") from exc
    return about


def data_of(dataset: Dataset, *, trained: int | None = None) -> Data:
    """A data set that a model learns from, for its card; `trained` is how many of its images train the model."""
    return Data(
        dataset.name,
        dataset.sha256,
        train=len(dataset.train),
        test=None if dataset.test is None else len(dataset.test),
        licence=LICENCES.get(dataset.name),
        trained=trained,
    )


def provenance(recipe: Recipe, dataset: Dataset, about: dict[str, Any], *, trained: int | None = None) -> Provenance:
    """Where a model comes from, for its card; `recipe` is what `restore` rebuilds the network by.

    `trained` is how many images of the data set train it, without those that are held out.
    """
    teacher = None if about.get("teacher") is None else read_teacher(about["teacher"])  # absent before 0.3
    public = {"data": dataset.name, "teacher": None if teacher is None else teacher.file}  # without the user's folders
    data = data_of(dataset, trained=trained)
    return Provenance(
        recipe=recipe.change(public).to_toml(),
        recipe_sha256=recipe.sha256,
        seed=recipe.seed,
        created=about["started"],
        commit=about["commit"],
        libraries=about["libraries"],
        data=data,
        saw_mnist=data.holds_mnist or (teacher is not None and teacher.saw_mnist),
        teacher=teacher,
        drawn=_drawn(recipe),
    )


def _drawn(recipe: Recipe) -> str:
    """What was drawn for a training in addition to the images of its data."""
    copies = "a stressed copy" if recipe.stressed == 1 else f"{recipe.stressed:g} stressed copies"
    amounts = {
        f"{copies} of each image": recipe.stressed,
        f"{recipe.drawn:,} digits": recipe.drawn,
        f"{recipe.outliers:,} images of no digit or of several": recipe.outliers,
    }
    return ", ".join(words for words, amount in amounts.items() if amount)


def _commit() -> str | None:
    """The commit of the package's own checkout, where it runs from one."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    outputs = []
    for arguments in (["ls-files", here.name], ["rev-parse", "HEAD"]):  # the checkout may be of another project
        try:
            done = subprocess.run(
                [*git, *arguments], capture_output=True, encoding="ascii", errors="replace", timeout=5, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        outputs.append(done.stdout.strip())
    return outputs[1] if all(outputs) else None


def versions(libraries: Iterable[str]) -> dict[str, str | None]:
    """The installed version of each library; None where it is not installed."""
    installed: dict[str, str | None] = dict.fromkeys(libraries)
    for name in installed:
        with suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed
