"""From a model file back to the network and the recipe that it was trained with.

In: a recogniser. Out: the `nn.Sequential` with its weights, to explain it, adapt it or export it in another format.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import torch
from torch import nn

from inkdigit.errors import MissingExtra, NotAModelFile, UsageError, first_line
from inkdigit.model.card import TOLERANCE
from inkdigit.model.recognizer import Recognizer, bundled
from inkdigit.model.session import read_file
from inkdigit.parsing import parse_toml
from inkdigit.training.convert.graph import PREFIX
from inkdigit.training.network import nets
from inkdigit.training.network.predict import predict
from inkdigit.training.own import network
from inkdigit.training.own.network import Build, missing_net
from inkdigit.training.recipe import EXTERNAL, Recipe
from inkdigit.training.recipe import bundled as bundled_recipes

# How long the recipe of a bundled model without float weights takes, with one thread: docs/accuracy.md.
TRAINED_IN = {"best": "15 minutes"}


def restore(recognizer: Recognizer, *, net: Build | None = None) -> tuple[nn.Sequential, Recipe]:
    """Rebuild the network from the model file alone, in evaluation mode; `net` builds it if it is the user's own.

    Raises:
        UsageError: the file was made from another model file, and has no trainable weights; or its network is external,
            and there is no `net`, or another one.
        NotAModelFile: the file holds no trainable weights of the recipe on its card.
    """
    recipe = recipe_of(recognizer)
    if recipe.net == EXTERNAL:
        return _restore_own(recognizer, recipe, net), recipe
    restored = nets.build(recipe, len(recognizer.card.classes))
    expected = restored.state_dict()
    weights = _weights(recognizer.path, expected.keys())
    missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
    if missing:
        raise NotAModelFile(f"{recognizer.path}: the weights {', '.join(missing[:3])} are not in it")
    try:
        restored.load_state_dict(weights, strict=False)
    except RuntimeError as exc:
        raise NotAModelFile(f"{recognizer.path}: its weights are not those of the recipe on its card") from exc
    return restored.eval(), recipe


def _restore_own(recognizer: Recognizer, recipe: Recipe, own: Build | None) -> nn.Sequential:
    """The user's network with the weights of the file, after it has answered the self test as the file does.

    The file has one name for weights that are shared, and none for those that do not count for its answers.

    Raises:
        UsageError: there is no `own`, or it builds another network.
    """
    if own is None:
        raise missing_net(recipe, recognizer.path)
    card = recognizer.card
    net = nets.around(network.build(own, recipe.outputs(len(card.classes))), recipe)
    test = card.self_test
    network.check(net, own, test.images, outputs=recipe.outputs(len(card.classes)))
    expected = f"{recipe.net_source}, SHA-256 {(recipe.net_sha256 or '')[:12]}…"
    try:
        net.load_state_dict(_weights(recognizer.path, net.state_dict().keys()), strict=False)
    except RuntimeError as exc:
        raise UsageError(f"net is not the network of {recognizer.path}: {first_line(exc)}", expected=expected) from exc
    outputs = predict(net, torch.tensor(test.images), classes=len(card.classes)).at(card.calibration.temperature)
    probs = outputs.of_classes.softmax(1)
    if not np.abs(probs.numpy() - test.probs).max() <= TOLERANCE[card.numbers]:
        raise UsageError(f"net with the weights of {recognizer.path} predicts something else", expected=expected)
    return net


def _weights(path: Path, names: Collection[str]) -> dict[str, torch.Tensor]:
    """The weights of these names in a model file.

    Raises:
        NotAModelFile: it can no longer be read, or a weight in it is damaged.
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


def recipe_of(recognizer: Recognizer) -> Recipe:
    """The recipe on the card of a file with trainable weights.

    Raises:
        UsageError: the file was made from another model file, and has no trainable weights.
        NotAModelFile: the card has no recipe, or one that cannot be read.
    """
    card = recognizer.card
    if card.provenance.made_from or card.numbers != "float32":
        raise UsageError(
            f"{recognizer.path} has no trainable weights",
            expected="a model file as training writes it",
            received=f"one that was made from others, of {card.numbers} numbers",
            hint=_float_file(recognizer),
        )
    return recipes_of(recognizer)[0]


def _float_file(recognizer: Recognizer) -> str:
    """Where the trainable weights are: in the files that it was made from; those of a bundled model must be trained."""
    if (name := recognizer.path.stem) in bundled_recipes() and bundled().get(name) == recognizer.path:
        took = f", which takes {TRAINED_IN[name]}" if name in TRAINED_IN else ""
        return f"The float file is not in the package. Train it{took}, and name its run: inkdigit train {name}"
    made_from = recognizer.card.provenance.made_from
    names = ", ".join(f"{file.file} (SHA-256 {file.sha256[:12]}…)" for file in made_from)
    return f"Use what it was made from: {names or 'its card does not name it'}"


def recipes_of(recognizer: Recognizer) -> list[Recipe]:
    """The recipes that the weights of any model file were trained with: one, or one per member of an ensemble.

    Raises:
        NotAModelFile: the card has no recipe, or one that cannot be read.
    """
    texts = recognizer.card.provenance.recipes
    if not texts:
        raise NotAModelFile(f"{recognizer.path}: its card has no recipe to build the network from")
    try:
        return [Recipe.from_fields(parse_toml(text), where="the recipe on the card") for text in texts]
    except (ValueError, UsageError) as exc:
        raise NotAModelFile(f"{recognizer.path}: the recipe on its card cannot be read ({exc})") from exc
