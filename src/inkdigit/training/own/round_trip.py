"""A network of the user's own becomes a model file and comes back, before it is trained.

In: the network, and the function that built it. Out: nothing, or one error: what cannot be exported, or cannot be built
again from the file for the report, `explain` and `adapt`, is not trained.
"""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import nn

from inkdigit.errors import InkdigitError, UsageError
from inkdigit.files import write_atomic
from inkdigit.model.card import Calibration
from inkdigit.model.provenance import Provenance
from inkdigit.model.recognizer import Recognizer
from inkdigit.training.convert import model_file
from inkdigit.training.convert.restore import restore
from inkdigit.training.own.network import TRIED, Build, build
from inkdigit.training.own.source import file_of, told
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset

STEP = 0.01  # by which every weight is moved: the first step of Adam with a usual learning rate


def check_export(net: nn.Sequential, function: Build, recipe: Recipe, dataset: Dataset) -> None:
    """Write the network, moved by a step, as a model file, and restore it with a network that `function` builds anew.

    Raises:
        UsageError: it cannot be written as ONNX, the file predicts something else, or it cannot be restored.
        OutputError: there is no room for a file.
    """
    _check_anew(net, function, recipe.outputs(len(dataset.classes)))
    data = _exported(_after_a_step(net, dataset), function, recipe, dataset)
    with TemporaryDirectory(prefix="inkdigit-net-") as folder:
        path = Path(folder) / "model.onnx"
        write_atomic(path, data)
        try:
            restore(Recognizer.load(path), net=function)
        except UsageError as exc:
            raise UsageError(
                "The network cannot be restored from its weights",
                expected="a network that is defined by its function and what is in its state_dict",
                hint="Does each call of the function draw a tensor anew that forward needs? Keep it with "
                'self.register_buffer("name", tensor), not as a plain attribute, nor with persistent=False.',
            ) from exc


def _check_anew(net: nn.Sequential, function: Build, outputs: int) -> None:
    """Check that the function builds another network each time: what is done with one would change the other.

    Raises:
        UsageError: both have a tensor in common.
    """
    before, again = (
        {id(tensor) for tensor in (*each.parameters(), *each.buffers())} for each in (net, build(function, outputs))
    )
    if before & again:
        raise UsageError(
            "net returns weights that it has returned before",
            expected="a network that is built anew at each call, so that each seed draws its own weights",
            hint="Build it inside the function; one that has its weights already can be copied there: copy.deepcopy.",
        )


def _after_a_step(net: nn.Sequential, dataset: Dataset) -> nn.Sequential:
    """A copy whose weights have moved: before, a layer that begins at 0 hides what comes before it."""
    moved = copy.deepcopy(net).train()
    images, labels = (torch.tensor(values[:TRIED]) for values in (dataset.train.images, dataset.train.labels))
    F.cross_entropy(moved(images.unsqueeze(1).float()), labels).backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for weight in moved.parameters():
            if weight.grad is not None:
                weight.sub_(STEP * weight.grad.nan_to_num().sign())
    moved.zero_grad()
    return moved


def _exported(net: nn.Sequential, function: Build, recipe: Recipe, dataset: Dataset) -> bytes:
    """The bytes of the network's model file.

    Raises:
        UsageError: it cannot be written as ONNX, or the file predicts something else.
    """
    try:
        with _quiet():
            return model_file.model_bytes(
                net,
                "untrained",
                classes=dataset.classes,
                kind=dataset.prepare,
                calibration=Calibration(),
                samples=dataset.train.images,
                provenance=Provenance(recipe=recipe.to_toml()),
            )
    except InkdigitError as exc:
        raise UsageError(
            f"The network cannot be exported: {exc.problem}",
            hint="Does it draw random numbers in evaluation mode, or branch on the values of an image?",
        ) from exc
    except Exception as exc:  # PyTorch's exporter has many kinds of errors, and none in common
        raise UsageError(f"The network cannot be written as ONNX: {_cause(exc, function)}") from exc


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what PyTorch prints of a network that it cannot export: pages, of which the error has the reason."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _cause(exc: BaseException, function: Build) -> str:
    """What the innermost error says, and in which line of the user's: those around it quote the whole network."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return told(exc, file_of(function))
