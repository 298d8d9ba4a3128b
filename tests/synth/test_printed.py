"""Characters printed in the fonts of matplotlib, and which of them are left out."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib")

from inkdigit.errors import MissingExtra, UsageError
from inkdigit.synth import printed
from inkdigit.synth.printed import DIGIT_STYLES, GROUPS, LOOK_ALIKES, LOOKS_LIKE_A_DIGIT, STYLES, font_files

FONTS = {font.stem: font for font in font_files()}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def fonts_of(character: str) -> set[str]:
    """The names of the fonts in which a character is an outlier."""
    every = [entry for group in printed.outlier_characters().values() for entry in group]
    return {font.stem for known, fonts in every for font in fonts if known == character}


def test_the_fonts_have_letters():
    assert {"DejaVuSans", "DejaVuSerif-Bold", "STIXGeneralItalic", "cmr10", "cmtt10"} <= set(FONTS)
    assert not {"LastResortHE-Regular", "STIXSizOneSymReg", "cmex10", "DejaVuSansDisplay"} & set(FONTS)


@pytest.mark.parametrize("font", ["DejaVuSans", "STIXGeneralBolIta", "cmr10"])
def test_a_printed_character_fills_the_square_but_for_a_margin(font):
    failures = []
    for style in STYLES:
        image = printed.printed("R", FONTS[font], rng=rng(1), size_px=80, style=style)
        rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
        longest = max(np.ptp(rows), np.ptp(columns)) + 1
        if image.shape != (80, 80) or image.dtype != np.uint8 or image.max() <= 200:
            failures.append(f"{style}: no strong ink on 80 px")
        if abs(longest - 0.76 * 80) > 2:
            failures.append(f"{style}: {longest} px long")
        if abs(rows[0] + rows[-1] - 79) > 2 or abs(columns[0] + columns[-1] - 79) > 2:
            failures.append(f"{style}: not in the middle")
    assert not failures


def test_a_seed_decides_and_each_style_looks_its_own_way():
    def show(style: printed.Style, seed: int = 0) -> bytes:
        return printed.printed("E", FONTS["DejaVuSerif"], rng=rng(seed), size_px=64, style=style).tobytes()

    assert show("worn") == show("worn")
    assert show("plain") != show("plain", seed=1)
    assert len({show(style) for style in STYLES}) == len(STYLES)


@pytest.mark.parametrize("style", ["worn", "striped"])
def test_what_has_little_ink_is_never_gone(style):
    pictures = [printed.printed(".", FONTS["STIXGeneral"], rng=rng(i), size_px=28, style=style) for i in range(60)]
    assert all(picture.max() > 100 for picture in pictures)


def test_bold_has_more_ink_than_plain_and_hollow_has_a_hole():
    plain, bold, hollow = (
        printed.printed("L", FONTS["DejaVuSans-Bold"], rng=rng(2), size_px=100, style=style)
        for style in ("plain", "bold", "hollow")
    )
    middle = [np.flatnonzero(picture[50] > 100) for picture in (plain, bold, hollow)]
    assert len(middle[1]) > len(middle[0])
    assert np.diff(middle[0]).max() == 1  # one stroke; hollow, it is two
    assert np.diff(middle[2]).max() > 3


def test_digits_are_printed_in_many_fonts():
    def count(label: int) -> int:
        return len({printed.digit(label, rng=rng(seed), size_px=28).tobytes() for seed in range(10)})

    assert {label: count(label) for label in range(10)} == dict.fromkeys(range(10), 10)


@pytest.mark.parametrize("styles", [STYLES, DIGIT_STYLES])
def test_shares_of_styles_add_up(styles):
    assert sum(styles.values()) == pytest.approx(1)


def test_letters_differ_and_are_never_empty():
    pictures = [printed.letter(rng=rng(seed), size_px=40) for seed in range(60)]
    assert all(p.shape == (40, 40) and p.any() for p in pictures)
    assert len({p.tobytes() for p in pictures}) == 60
    assert np.array_equal(pictures[7], printed.letter(rng=rng(7), size_px=40))


def test_a_to_j_are_outliers_but_for_an_i_that_is_a_bare_stroke():
    capitals = {character for character, _ in printed.outlier_characters()["capitals"]}
    assert set("ABCDEFGHIJ") <= capitals
    assert {"DejaVuSerif", "DejaVuSansMono", "cmtt10"} <= fonts_of("I")
    assert not {"DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "cmss10"} & fonts_of("I")
    assert {"DejaVuSans", "cmss10"} <= fonts_of("H")


def test_what_looks_like_a_digit_is_in_a_group_and_left_out():
    everything = "".join(GROUPS.values())
    assert len(set(everything)) == len(everything)
    assert sorted(LOOKS_LIKE_A_DIGIT) == list("0123456789")
    assert set(everything) >= LOOK_ALIKES
    printable = {character for group in printed.outlier_characters().values() for character, _ in group}
    assert not printable & LOOK_ALIKES
    assert not printable & set("0123456789𝕀𝕴𝔍ℒ")
    assert set("𝔸𝕬𝒜Ⓐ") <= printable


def test_every_group_is_printable():
    assert all(len(group) >= 8 for group in printed.outlier_characters().values())


def test_no_two_capitals_of_a_font_look_the_same():
    """Where a font lacks a glyph it prints a box, the same for all."""
    for font in FONTS.values():
        images = {printed.printed(character, font, rng=rng(), size_px=40).tobytes() for character in "ACEHKMRTWX"}
        assert len(images) == 10, font.stem


@pytest.mark.parametrize(("font", "character"), [("cmr10", "Ж"), ("cmsy10", "a"), ("cmmi10", "1"), ("cmss10", "AB")])
def test_a_character_that_the_font_lacks_is_an_error(font, character):
    with pytest.raises(UsageError, match=f"{font} has no such character"):
        printed.printed(character, FONTS[font], rng=rng())


def test_a_style_that_is_not_there_is_an_error():
    with pytest.raises(UsageError, match=r"Expected: plain, bold.* Received: 'neon'"):
        printed.printed("A", FONTS["cmr10"], rng=rng(), style="neon")


@pytest.mark.parametrize("label", [-1, 10, "7"])
def test_a_label_that_is_not_a_digit_is_an_error(label):
    with pytest.raises(UsageError, match="0 to 9"):
        printed.digit(label, rng=rng())


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    font_files.cache_clear()
    with pytest.raises(MissingExtra, match="fonts of matplotlib"):
        printed.digit(3, rng=rng())


def test_a_small_image_shows_what_a_large_one_shows():
    small, large = (printed.printed("K", FONTS["DejaVuSans-Bold"], rng=rng(3), size_px=side) for side in (28, 280))
    shrunk = Image.fromarray(large).resize((28, 28), Image.Resampling.BOX)
    assert np.corrcoef(np.asarray(shrunk).ravel(), small.ravel())[0, 1] > 0.9
