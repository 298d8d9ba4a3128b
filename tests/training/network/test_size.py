"""The computed size of a network is that of the network that is built."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from inkdigit.errors import UsageError
from inkdigit.training.network import nets
from inkdigit.training.network.size import MAX_PARAMETERS
from inkdigit.training.recipe import Recipe, bundled


def largest(net: nn.Sequential) -> int:
    """The number of values in the largest output of a layer with weights, for one image."""
    seen = []

    def look(_: nn.Module, __: object, out: torch.Tensor) -> None:
        seen.append(out[0].numel())

    hooks = [m.register_forward_hook(look) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 1, 28, 28))
    for hook in hooks:
        hook.remove()
    return max(seen)


def check(recipe: Recipe, classes: int = 10) -> None:
    net, size = nets.build(recipe, classes), recipe.size(classes)
    assert (size.parameters, size.largest) == (nets.parameters(net), largest(net))


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_recipe_is_measured_rightly(name):
    check(Recipe.load(name))


@st.composite
def networks(draw: st.DrawFn) -> Recipe:
    blocks = draw(st.integers(0, 3))
    residual = blocks > 0 and draw(st.booleans())

    def each(values: list) -> list:
        return draw(st.lists(st.sampled_from(values), min_size=blocks, max_size=blocks))

    fields = {
        "block": "residual" if residual else "plain",
        "filters": each([1, 2, 3, 4]),
        "kernel": each([1, 3, 5]),
        "convs_per_block": each([2, 4] if residual else [1, 2, 3]),
        "pooling": each(["max", "average", "stride", "none"]),
        "padding": each(["same"] if residual else ["same", "valid"]),
        "pool_first": not residual and draw(st.booleans()),
        "batch_norm": draw(st.booleans()),
        "head": draw(st.sampled_from(["flatten", "global_average", "global_max"])),
        "dense": draw(st.lists(st.integers(1, 5), max_size=2)),
        "outliers": draw(st.sampled_from([0, 5])),
    }
    return Recipe.from_fields(fields)


@settings(max_examples=60, deadline=None)
@given(recipe=networks(), classes=st.integers(2, 12))
def test_every_network_is_measured_rightly(recipe, classes):
    try:
        nets.build(recipe, classes)
    except UsageError as exc:
        assume("leaves nothing" not in str(exc))
    check(recipe, classes)


def test_many_classes_may_make_a_network_too_large():
    recipe = Recipe.from_fields({"filters": [512], "pooling": "none"})  # 401,408 features
    assert recipe.too_large(10) is None
    with pytest.raises(UsageError, match=f"102,766,336 parameters; {MAX_PARAMETERS:,} at most.* Received: 256 classes"):
        nets.build(recipe, 256)


def test_orthogonal_weights_are_not_drawn_for_minutes():
    fields = {"dense": [5000, 5000], "initializer": "orthogonal"}
    with pytest.raises(UsageError, match="orthogonal"):
        Recipe.from_fields(fields)
    assert Recipe.from_fields({**fields, "initializer": "he_normal"}).size().parameters < MAX_PARAMETERS
