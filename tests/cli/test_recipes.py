"""`recipes`: the bundled recipes."""

from __future__ import annotations

from inkdigit.training.recipe import Recipe, bundled


def test_every_recipe_is_listed_with_what_it_is(inkdigit):
    result = inkdigit("recipes")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == list(bundled())
    assert all(line.endswith(Recipe.load(line.split()[0]).about) for line in lines)
    assert "inkdigit train fast" in result.err
