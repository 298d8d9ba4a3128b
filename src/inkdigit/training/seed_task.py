"""One seed as a task of a cluster: the training in a process of its own, and what came of it.

In: a recipe, its place and the data, as Ray hands them on. Out: the lines that it has to say, and an error of ours.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import inkdigit.runs as runs
from inkdigit.errors import Diverged, EngineError, InkdigitError, ParityError, WorkersDied, first_line
from inkdigit.files import writing
from inkdigit.scale.cluster import check_shared, require_ray
from inkdigit.scale.engine import MAX_DEATHS
from inkdigit.training import run
from inkdigit.training.device import use_threads
from inkdigit.training.network import checkpoint
from inkdigit.training.own.functions import Own
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset


def result_of(ref: Any, seed: int) -> tuple[list[str], InkdigitError | None]:
    """What a task has to say, and why its seed failed, if it did.

    Raises:
        InkdigitError: what stops the other seeds, too.
    """
    ray = require_ray()
    try:
        lines, error = ray.get(ref)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError):
        return [], WorkersDied(f"The process of seed {seed} died {MAX_DEATHS} times", hint="Is there enough memory?")
    except ray.exceptions.RayTaskError:
        raise  # a bug
    except ray.exceptions.RayError as exc:
        raise EngineError(
            f"The cluster lost seed {seed}: {first_line(exc)}", hint="Go on with: the same command."
        ) from exc
    if error is not None and not isinstance(error, Diverged | ParityError):
        raise error
    return lines, error


def train_apart(
    recipe: Recipe,
    place: Path,
    dataset: Dataset,
    source: str | None,
    device: str,
    mark: Path,
    argv: list[str],
    own: Own,
    log_to: tuple[str, ...],
) -> tuple[list[str], InkdigitError | None]:
    """Train one seed, or go on with it, in a process of the cluster; what it has to say, and an error."""
    lines: list[str] = []
    sys.argv = argv  # for env.json: the command is that of the user
    use_threads(1)  # the core that the task has
    more: dict[str, Any] = {"device": device, "progress": False, "log": lines.append} | own.functions
    try:
        check_shared(mark)
        if checkpoint.exists(place):
            if not runs.is_finished(place):  # else the process died just after
                run.resume(place, data=dataset, **more)
        else:
            with writing(place), suppress(FileNotFoundError):
                shutil.rmtree(place)  # of this task, if its process died before the first checkpoint
            run.train(recipe, data=dataset, source=source, out=place, log_to=log_to, **more)
    except InkdigitError as exc:
        return lines, exc
    return lines, None
