"""Layers that a recipe lists in any order: what is built of them, and what is wrong with a list."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch

from inkdigit.errors import UsageError
from inkdigit.training.network import layers, nets
from inkdigit.training.network.describe import layers_of
from inkdigit.training.recipe import BLOCK_FIELDS, Recipe

from ..conftest import tiny

MANY = (
    *("conv 8 3", "batch_norm", "relu", "max_pool", "dropout .2", "residual 12 3 stride 2", "average_pool 2"),
    *("conv 6 2 valid", "gelu", "flatten", "batch_norm", "dense  7", "tanh"),
)


# A layer that is used again, after pooling and with stride, and one of each channel alone.
SHARING = (
    *("conv 6 3 valid", "batch_norm", "relu", "depthwise 3 stride 2", "conv 6 1", "batch_norm", "relu"),
    *("again 4", "again 5", "batch_norm", "relu", "depthwise 2 valid", "average_pool", "global_average"),
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
    shapes = [row["output"] for row in layers_of(net)]
    expected = ["×".join(map(str, layer.after)) for layer in recipe.listed()]
    assert shapes == ["1×28×28", *expected, "5"]


def test_a_layer_is_used_again_with_the_same_weights():
    recipe = listed(*SHARING)
    net = nets.build(recipe, 5)
    assert recipe.size(5).parameters == nets.parameters(net) == 6 * 9 + 6 * 9 + 36 + 6 * 4 + 3 * 12 + 6 * 5 + 5
    assert not any("again" in name for name in net.state_dict())
    rows = {row["name"]: row for row in layers_of(net)}
    assert rows["layer8_again"] == {
        "name": "layer8_again",
        "kind": "Again",
        "kernel": "3×3, stride 2",
        "output": "6×7×7",
        "parameters": 0,
    }
    depthwise, again = net.get_submodule("layer4_depthwise"), net.get_submodule("layer8_again")
    x = torch.rand(2, 6, 13, 13)
    with torch.no_grad():
        assert torch.equal(depthwise(x), again(x))
        twin = copy.deepcopy(net)
        twin.get_submodule("layer4_depthwise").weight.mul_(2)
        assert torch.equal(2 * again(x), twin.get_submodule("layer8_again")(x))  # it is that of the copy


def test_both_uses_of_a_layer_teach_it():
    """The gradient is that of two layers with equal weights, added up."""
    shared = nets.build(listed("conv 1 3", "again 1", "flatten"), 2)
    apart = nets.build(listed("conv 1 3", "conv 1 3", "flatten"), 2)
    apart.load_state_dict({name: shared.state_dict()[name.replace("layer2", "layer1")] for name in apart.state_dict()})
    x = torch.rand(2, 1, 28, 28) * 255
    for net in (shared, apart):
        net(x)[:, 0].sum().backward()
    first, second = (apart.get_submodule(name).weight.grad for name in ("layer1_conv", "layer2_conv"))
    assert torch.allclose(shared.get_submodule("layer1_conv").weight.grad, first + second, rtol=1e-4)


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
        (
            ["conv 8 3", "again 2", "flatten"],
            "layer 2, 'again 2': layer 2 does not come before it; use conv or depthwise",
        ),
        (["relu", "again 1", "flatten"], "layer 2, 'again 1': layer 1 is relu; use conv or depthwise before it again"),
        (
            ["conv 8 3", "again 1", "flatten"],
            "layer 2, 'again 1': the channels do not fit: layer 1 takes 1, and 8 come before it",
        ),
        (["flatten", "depthwise 3"], "layer 2, 'depthwise 3': it takes an image, and there is only a row of 784"),
        (["depthwise 2", "flatten"], "layer 1, 'depthwise 2': its kernel must be odd, or valid"),
        (
            ["conv 1 27 valid", "again 1", "flatten"],
            "layer 2, 'again 1': it leaves nothing of the image, which is 1 × 2",
        ),
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
