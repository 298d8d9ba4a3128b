"""From a model file back to the network and the recipe it was trained with.

In: a recogniser. Out: the `nn.Sequential` with its weights, ready to be explained, adapted or trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inkdigit.errors import MissingExtra, NotAModelFile, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.model.session import read_file
from inkdigit.parsing import parse_toml
from inkdigit.training.network import nets
from inkdigit.training.recipe import Recipe

PREFIX = "net."  # the network's name inside the exported graph
MEMBERS = "members"  # in a card's provenance: the recipes of an ensemble
ADAPTED = "adapted"  # in a card's provenance, or a member's: what it was adapted to, from which file; the latest last
MADE_FROM = "made_from"  # in a card's provenance: file and SHA-256 of the float files behind an int8 or ensemble file


def restore(recognizer: Recognizer) -> tuple[nn.Sequential, Recipe]:
    """Rebuild the network from the model file alone, in evaluation mode.

    Raises:
        UsageError: the file was made from another model file, and has no trainable weights.
        NotAModelFile: the file holds no trainable weights of the recipe on its card.
    """
    recipe = recipe_of(recognizer)
    net = nets.build(recipe, len(recognizer.card.classes))
    wanted = net.state_dict()
    weights = _weights(recognizer.path, wanted.keys())
    missing = [name for name in wanted if name not in weights and not name.endswith("num_batches_tracked")]
    if missing:
        raise NotAModelFile(f"{recognizer.path}: the weights {', '.join(missing[:3])} are not in it")
    try:
        net.load_state_dict(weights, strict=False)
    except RuntimeError as exc:
        raise NotAModelFile(f"{recognizer.path}: its weights are not those of the recipe on its card") from exc
    return net.eval(), recipe


def _weights(path: Path, names: Collection[str]) -> dict[str, torch.Tensor]:
    """The weights of these names that are in a model file itself.

    Raises:
        NotAModelFile: it cannot be read any more, or a weight in it is broken.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ModuleNotFoundError as exc:
        raise MissingExtra("Taking the weights out of a model file needs onnx", "train") from exc
    try:
        graph = onnx.load_model_from_string(read_file(path)).graph
        return {
            name: torch.from_numpy(onnx.numpy_helper.to_array(weight).astype(np.float32))
            for weight in graph.initializer
            if weight.data_location != onnx.TensorProto.EXTERNAL and (name := weight.name.removeprefix(PREFIX)) in names
        }
    except (DecodeError, ValueError, TypeError, KeyError) as exc:
        raise NotAModelFile(f"{path}: its weights cannot be read ({exc})") from exc


def name_file(path: Path) -> dict[str, str]:
    """A model file as another one's card names it: by its run, not by where that lies, and its SHA-256."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": f"{path.resolve().parent.name}/{path.name}", "sha256": sha256}


def recipe_of(recognizer: Recognizer) -> Recipe:
    """The recipe on the card of a file with trainable weights.

    Raises:
        UsageError: the file was made from another model file, and has no trainable weights.
        NotAModelFile: the card names no recipe, or none that can be read.
    """
    card = recognizer.card
    sources = card.provenance.get(MADE_FROM, [])
    if sources or card.numbers != "float32":
        names = ", ".join(f"{source['file']} (SHA-256 {source['sha256'][:12]}…)" for source in sources)
        raise UsageError(
            f"{recognizer.path} has no trainable weights",
            expected="a model file as training writes it",
            received=f"one that was made from others, of {card.numbers} numbers",
            hint=f"Use what it was made from: {names or 'its card does not name it'}",
        )
    return recipes_of(recognizer)[0]


def recipes_of(recognizer: Recognizer) -> list[Recipe]:
    """The recipes that the weights of any model file were trained with: one, or one a member of an ensemble.

    Raises:
        NotAModelFile: the card names no recipe, or none that can be read.
    """
    told = recognizer.card.provenance
    try:
        texts = [member["recipe"] for member in told[MEMBERS]] if MEMBERS in told else [told["recipe"]]
    except (KeyError, TypeError) as exc:
        raise NotAModelFile(f"{recognizer.path}: its card names no recipe to build the network from") from exc
    if not texts:
        raise NotAModelFile(f"{recognizer.path}: its card names no recipe to build the network from")
    try:
        return [Recipe.from_fields(parse_toml(str(text)), where="the recipe on the card") for text in texts]
    except (ValueError, UsageError) as exc:
        raise NotAModelFile(f"{recognizer.path}: the recipe on its card cannot be read ({exc})") from exc
