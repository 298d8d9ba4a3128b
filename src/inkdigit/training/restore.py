"""From a model file back to the network and the recipe it was trained with.

In: a recogniser. Out: the `nn.Sequential` with its weights, ready to be explained, adapted or trained on.
"""

from __future__ import annotations

import tomllib

import numpy as np
import torch
from torch import nn

from inkdigit.errors import MissingExtra, NotAModelFile, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.training import nets
from inkdigit.training.recipe import Recipe

PREFIX = "net."  # the network's name inside the exported graph


def restore(recognizer: Recognizer) -> tuple[nn.Sequential, Recipe]:
    """Rebuild the network from the model file alone, in evaluation mode.

    Raises:
        NotAModelFile: the file holds no trainable weights of the recipe on its card.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ModuleNotFoundError as exc:
        raise MissingExtra("Taking the weights out of a model file needs onnx", "train") from exc
    card = recognizer.card
    try:
        recipe = Recipe.from_fields(tomllib.loads(str(card.provenance["recipe"])), where="the recipe on the card")
    except KeyError as exc:
        raise NotAModelFile(f"{recognizer.path}: its card names no recipe to build the network from") from exc
    except (tomllib.TOMLDecodeError, UsageError) as exc:
        raise NotAModelFile(f"{recognizer.path}: the recipe on its card cannot be read ({exc})") from exc
    graph = onnx.load(recognizer.path).graph
    arrays = {init.name.removeprefix(PREFIX): numpy_helper.to_array(init) for init in graph.initializer}
    net = nets.build(recipe, len(card.classes))
    wanted = net.state_dict()
    weights = {name: torch.from_numpy(np.array(arrays[name])) for name in wanted if name in arrays}
    missing = [name for name in wanted if name not in weights and not name.endswith("num_batches_tracked")]
    if missing:
        raise NotAModelFile(f"{recognizer.path}: the weights {', '.join(missing[:3])} are not in it")
    try:
        net.load_state_dict(weights, strict=False)
    except RuntimeError as exc:
        raise NotAModelFile(f"{recognizer.path}: its weights are not those of the recipe on its card") from exc
    return net.eval(), recipe
