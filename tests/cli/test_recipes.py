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


def test_a_recipe_is_printed_as_the_toml_that_trains_the_same(inkdigit, tmp_path):
    for name in bundled():
        result = inkdigit("recipes", name)
        assert result.code == 0
        (tmp_path / f"{name}.toml").write_text(result.out, encoding="utf-8")
        assert Recipe.load(tmp_path / f"{name}.toml") == Recipe.load(name)
    assert "inkdigit recipes vgg > mine.toml" in result.err
    assert "Did you mean fast?" in inkdigit("recipes", "fats").err
