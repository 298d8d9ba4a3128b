"""Layers that a recipe lists in any order: what is built of them, and what is wrong with a list."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.training.network import layers, nets
from inkdigit.training.recipe import BLOCK_FIELDS, Recipe

from ..conftest import tiny

MANY = (
    *("conv 8 3", "batch_norm", "relu", "max_pool", "dropout .2", "residual 12 3 stride 2", "average_pool 2"),
    *("conv 6 2 valid", "gelu", "flatten", "batch_norm", "dense  7", "tanh"),
)


def listed(*texts: str) -> Recipe:
    return Recipe(name="listed", layers=texts)


def test_a_list_becomes_that_network_and_its_size_is_known_before():
    recipe = listed(*MANY)
    net = nets.build(recipe, 5)
    kinds = [name.partition("_")[2] for name, _ in net.named_children() if name.startswith("layer")]
    assert kinds == [text.split()[0] for text in MANY]
    assert net(torch.rand(2, 1, 28, 28)).shape == (2, 5)
    assert recipe.size(5).parameters == nets.parameters(net)
    shapes = [row["output"] for row in nets.describe(net)]
    expected = ["×".join(map(str, layer.after)) for layer in recipe.listed()]
    assert shapes == ["1×28×28", *expected, "5"]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        (["conv 8 3", "max_pol"], "layer 2, 'max_pol': there is no such layer. Did you mean max_pool?"),
        (["conv 8"], "layer 1, 'conv 8': it is written conv FILTERS KERNEL"),
        (["conv 8 4", "flatten"], "layer 1, 'conv 8 4': its kernel must be odd, or valid"),
        (["conv 5000 3", "flatten"], "layer 1, 'conv 5000 3': a number is too large"),
        (["flatten", "relu", "max_pool"], "layer 3, 'max_pool': it takes an image, and there is only a row of 784"),
        (["dense 8"], "layer 1, 'dense 8': it takes a row of numbers, not an image, 1 × 28 × 28: first flatten"),
        (["max_pool 28", "max_pool"], "layer 2, 'max_pool': it leaves nothing of the image, which is 1 × 1 × 1"),
        (["conv 8 3"], "they end with an image, 8 × 28 × 28: add one of flatten"),
        (["flatten", "dropout 1.5"], "layer 2, 'dropout 1.5': it is written dropout SHARE"),
    ],
)
def test_what_cannot_be_built_names_its_layer(texts, problem):
    with pytest.raises(UsageError) as caught:
        listed(*texts)
    assert f"layers: {problem}" in str(caught.value)


def test_a_list_takes_the_place_of_blocks_and_excludes_them():
    changed = Recipe.load("fast", {"layers": ["flatten"]})
    assert not any(f"\n{field} = " in changed.to_toml() for field in BLOCK_FIELDS)
    assert (changed.learning_rate, changed.about) == (Recipe.load("fast").learning_rate, "")
    assert changed.temperature is None  # it was that of another network
    assert Recipe.from_fields({"layers": ("flatten",)}).sha256 != Recipe().sha256
    with pytest.raises(UsageError, match="layers are all of the network: leave out filters"):
        tiny(layers=["flatten"])


def test_the_activations_are_those_of_the_other_forms():
    assert (
        set(layers.ACTIVATIONS) == set(nets.ACTIVATIONS) == set(get_args(Recipe.model_fields["activation"].annotation))
    )
