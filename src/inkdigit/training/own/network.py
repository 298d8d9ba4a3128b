"""A network of the user's own: built by their function, checked before it is trained.

In: a function that builds any `nn.Module`, float (N, 1, 28, 28) → (N, K). Out: the module, or one error that says what
is wrong with it. What training and checkpoints need of a network is tried here on a few images, so that nothing fails
after hours; `round_trip` tries the model file.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inkdigit.errors import InkdigitError, UsageError
from inkdigit.training.network.checkpoint import TYPES
from inkdigit.training.network.nets import parameters
from inkdigit.training.network.size import MAX_PARAMETERS
from inkdigit.training.own.source import file_of, told
from inkdigit.training.recipe import Recipe
from inkdigit.types import Gray

Build = Callable[..., nn.Module]  # takes nothing, or the number of `outputs`
OUTPUTS = "outputs"  # the name by which it is given that number
TRIED = 3  # images that go through the network: no fixed number of its own, as 1 or a power of 2 may be


def missing_net(recipe: Recipe, file: Path | None = None) -> UsageError:
    """The error of a recipe, or a model file, whose network is external and not given."""
    it = f"{recipe.name} has a network" if file is None else f"{file} holds the weights of a network"
    named = f", {recipe.net_source}" if recipe.net_source else ""
    hint = "Give the function that builds it: net=… in Python, --net FILE.py:NAME on the command line."
    return UsageError(f"{it} of your own{named}, which is not in it", hint=hint)


def build(function: Build, outputs: int) -> nn.Module:
    """Call the user's function; it is given the number of outputs if it has a parameter `outputs`.

    Raises:
        UsageError: it fails, or what it returns is not a network.
    """
    if isinstance(function, nn.Module):
        raise UsageError(
            "net is a network that is built already",
            expected="a function or class that builds it, so that each seed draws its own weights",
            received=type(function).__name__,
            hint="Write net=lambda: …, or the class itself.",
        )
    if not callable(function):
        raise UsageError("net cannot be called", expected="a function that returns an nn.Module", received=function)
    try:
        net = function(**({OUTPUTS: outputs} if _takes_outputs(function) else {}))
    except Exception as exc:  # the user's code may raise anything
        raise UsageError(f"The network cannot be built: {told(exc, file_of(function))}") from exc
    if not isinstance(net, nn.Module):
        raise UsageError("net returns no network", expected="an nn.Module", received=type(net).__name__)
    return net


def _takes_outputs(function: Build) -> bool:
    try:
        return OUTPUTS in inspect.signature(function).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False


def check(net: nn.Sequential, function: Build, images: Gray, *, outputs: int) -> None:
    """Send a few of `images` uint8 (N, 28, 28) through a network with `outputs` outputs, there and back.

    Layers whose size depends on their first input have one after this.

    Raises:
        UsageError: it cannot be trained, or gives something else.
    """
    x = torch.tensor(images[:TRIED]).unsqueeze(1).float()
    try:
        net.eval()
        with torch.no_grad():
            given = net(x)
        _check_outputs(given, len(x), outputs)
        _check_weights(net)
        trained = copy.deepcopy(net).train()
        labels = torch.arange(len(x)) % outputs
        loss = F.cross_entropy(trained(x), labels)
        if not loss.requires_grad:
            raise UsageError("The network's output does not depend on weights that can be trained")
        loss.backward()  # type: ignore[no-untyped-call]
    except InkdigitError:
        raise
    except Exception as exc:  # the user's code may raise anything
        size = " × ".join(map(str, x.shape))
        raise UsageError(
            f"The network cannot be trained: {told(exc, file_of(function))}",
            expected=f"a network that takes float32 images, here {size}",
        ) from exc
    net.train()


def _check_outputs(given: object, images: int, outputs: int) -> None:
    expected = f"one tensor of logits, ({images}, {outputs}) for {images} images: a row each, with {outputs} outputs"
    if not isinstance(given, Tensor):
        received = f"{type(given).__name__}{f' of {len(given)}' if hasattr(given, '__len__') else ''}"
        raise UsageError("The network's output is not one tensor", expected=expected, received=received)
    if tuple(given.shape) != (images, outputs):
        hint = None
        if given.ndim == 2 and len(given) == images:
            hint = f"A function with a parameter {OUTPUTS!r} is given their number: the classes, and kinds of outliers."
        raise UsageError(
            "The network's output has another shape", expected=expected, received=tuple(given.shape), hint=hint
        )
    if not given.is_floating_point():
        raise UsageError("The network's output is not of floats", expected=expected, received=given.dtype)
    if not bool(given.isfinite().all()):
        raise UsageError("The network gives values that are not numbers", received="nan or infinity before training")


def _check_weights(net: nn.Module) -> None:
    if not any(weight.requires_grad for weight in net.parameters()):
        raise UsageError("The network has no weights that can be trained", expected="parameters with requires_grad")
    if (count := parameters(net)) > MAX_PARAMETERS:
        raise UsageError(
            "The network is too large", expected=f"{MAX_PARAMETERS:,} weights at most", received=f"{count:,}"
        )
    for name, value in net.state_dict().items():
        if not isinstance(value, Tensor) or value.dtype not in TYPES.values() or value.layout != torch.strided:
            raise UsageError(
                f"The network's state does not fit into a checkpoint: {name.removeprefix('own.')}",
                expected="a tensor of a common type of numbers",
                received=getattr(value, "dtype", type(value).__name__),
            )
