"""What was tried: every candidate is a recipe of its own, and differences are taken seed by seed."""

from __future__ import annotations

import choose
import choose_page
from inkdigit.training.recipe import bundled


def test_every_candidate_is_another_recipe_and_none_sees_the_test_part():
    for name, hashes in choose.hashes().items():
        assert choose.CHOICES[name].base in bundled()
        assert len(set(hashes.values())) == len(hashes)
        assert next(iter(hashes)) == choose_page.BASE
        assert all(choose.candidate(name, what).protocol == "select" for what in hashes)


def line(what: str, seed: int, accuracy: float, **fields: object) -> dict:
    told = {"recipe": "fast", "candidate": what, "recipe_sha256": what, "seed": seed, "accuracy": accuracy}
    return {**told, "smoke": False, "train_seconds": 2.0, "threads": 1, "parameters": 10, **fields}


def test_differences_are_taken_seed_by_seed_and_older_recipes_do_not_count():
    lines = [line("as it is", 0, 0.99), line("as it is", 1, 0.97), line("b", 0, 0.985), line("b", 1, 0.963)]
    lines += [line("b", 2, 0.1, recipe_sha256="old"), line("b", 3, 0.1, smoke=True)]
    hashes = {"fast": {"as it is": "as it is", "b": "b", "c": "c"}, "minute": {"as it is": "x"}}
    lines += [{**line("as it is", 0, 0.9, recipe_sha256="x", threads=2), "recipe": "minute"}]
    title, about, table = choose_page.part(lines, hashes, only=["fast"])
    assert title == "## What was tried for `fast`"
    assert "1 thread," in about
    assert table.splitlines()[2:] == [
        "| `fast` | as it is | 10 | 98.00 ± 1.41 % | – | 2.00 [2.00–2.00] | 2 |",
        "| `fast` | b | 10 | 97.40 ± 1.56 % | −0.60 ± 0.14 | 2.00 [2.00–2.00] | 2 |",
    ]
    both = choose_page.part(lines, hashes, only=["fast", "minute"])
    assert both[0] == "## What was tried for `fast` and `minute`"
    assert len(both[2].splitlines()) == len(table.splitlines()) + 1
    assert "started as" not in "".join(both)
    assert "| the start |" not in both[-1]
    assert choose_page.part([], hashes, only=["fast", "minute"]) == []


def test_a_recipe_that_began_otherwise_says_from_what():
    hashes = {"best": {"as it is": "as it is", "b": "b"}}
    lines = [line("as it is", 0, 0.99, recipe="best"), line("b", 0, 0.98, recipe="best")]
    _, about, start, table = choose_page.part(lines, hashes, only=["best"])
    assert "several where its name says so" in about
    assert start == "`best` started as `minute` with `epochs = 12`: *the start* below."
    assert table.splitlines()[2].startswith("| `best` | the start | 10 | 99.00 % | – |")
