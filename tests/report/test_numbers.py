"""Numbers as people write them."""

from __future__ import annotations

import pytest

from inkdigit.report import numbers


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.418, "0.42 s"), (41.27, "41.3 s"), (372.0, "6 min 12 s"), (7512.0, "2 h 5 min")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert numbers.duration(seconds) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "–"), (True, "True"), (24122, "24,122"), (3.0, "3"), (0.0123456, "0.012346"), ("<b>", "<b>")],
)
def test_numbers_in_words(value: object, words: str) -> None:
    assert numbers.number(value) == words


def test_per_cent_ranges_and_points() -> None:
    assert numbers.percent(0.99034) == "99.03"
    assert numbers.percent_range((0.9883, 0.9921)) == "98.83–99.21"
    assert numbers.mean_sd(0.99712, 0.00041) == "99.712 ± 0.041"
    assert (numbers.signed(0.123), numbers.signed(-0.123), numbers.signed(-1.5, 3)) == ("+0.12", "−0.12", "−1.500")
    assert (numbers.plural(1, "seed"), numbers.plural(1200, "seed")) == ("1 seed", "1,200 seeds")


@pytest.mark.parametrize(("p", "words"), [(0.99996, "99.9"), (0.57, "57.0"), (0.0, "0.0"), (1.0, "100.0")])
def test_rounded_down_nothing_short_of_certain_is_100(p: float, words: str) -> None:
    assert numbers.percent_down(p) == words


@pytest.mark.parametrize(("count", "words"), [(400, "0 kB"), (97_123, "97 kB"), (1_180_000, "1.18 MB")])
def test_sizes_in_words(count: int, words: str) -> None:
    assert numbers.byte_count(count) == words
