"""Runs that differ in their random seed alone, in words: the table, the sentences, the page beside them."""

from __future__ import annotations

import pytest

from inkdigit.measure.seeds import gather
from inkdigit.report.seeds import sentences, table, to_markdown

from ..measure.made_runs import finished


@pytest.fixture
def three(tmp_path):
    """Of 40 pictures 2, 4 and 3 are wrong: number 5 with every seed, numbers 1, 7 and 8 with one alone."""
    return gather("three", finished(tmp_path, (1, 5), (5, 6, 7, 8), (5, 6, 9), name="tiny")[::-1], {4: "Diverged: nan"})


def test_the_table_and_the_words(three):
    header, *rows = table(three)
    assert header == ("seed", "accuracy", "wrong", "of", "trained in", "run")
    assert rows[0] == ("0", "95.00 %", "2", "40", "12.5 s", "s0")
    assert rows[3] == ("4", "–", "–", "–", "–", "Diverged: nan")
    part, mean, interval, without, errors = sentences(three)
    assert part == "Protocol final: the figures are on the test split of drawn, the same for every seed."
    assert mean.startswith("Mean 92.500 % of 3 seeds, standard deviation 2.500 points (n − 1), standard error 1.443")
    assert interval.startswith(
        "95 % interval of the mean 86.290–98.710 % (Student's t). It includes only the chance of the seeds"
    )
    assert without.startswith("Without figures: 1 seed (4).")
    assert errors == "6 images wrong with some seed: 1 with all 3, 4 with only one."


def test_the_page_can_be_repeated(three, tmp_path):
    text = to_markdown(three, tmp_path)
    assert text.startswith("# tiny on drawn: 3 seeds\n\n| seed | accuracy |")
    assert "| 3 | 1 |" in text
    assert text.endswith("Repeat with: `inkdigit train s0/recipe.toml --seeds 0-2,4`\n")


def test_held_out_pictures_of_other_seeds_are_not_laid_on_one_another(tmp_path):
    seeds = gather("x", finished(tmp_path, (1,), (1, 2), protocol="select"))
    assert seeds.wrong_with is None
    assert seeds.to_json(tmp_path)["errors"] is None
    said = sentences(seeds)
    assert said[0].startswith("Protocol select: the figures are on held-out training images of drawn, different ones")
    assert "of the held-out images" in said[2]
    assert not any("with some seed" in sentence for sentence in said)
    assert "wrong with this many" not in to_markdown(seeds, tmp_path)


def test_one_seed_and_equal_seeds_promise_nothing(tmp_path):
    one = gather("one", finished(tmp_path / "one", (1,)))
    assert sentences(one)[1:] == ["One seed has no spread: the result of another seed is not known."]
    equal = gather("equal", finished(tmp_path / "equal", (1,), (2,)))
    assert "All have exactly the same accuracy, which gives no interval." in sentences(equal)
