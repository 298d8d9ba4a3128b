"""Letters, signs and digits printed in fonts, in plain and in fancy styles: outliers, and printed digits.

In: a random generator and a size. Out: gray `uint8 (size, size)`, ink 255 on 0 (a shadow is paler), antialiased. The
fonts are those of matplotlib, which is imported for the first image, and three free families without serifs, whose 1
has a flag and no foot, as in most newspapers and forms. Other releases of them and of Pillow may print slightly
different images.

Characters that cannot be distinguished from a digit are left out of the outliers (`LOOKS_LIKE_A_DIGIT`).
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Container
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inkdigit.errors import MissingExtra, UsageError
from inkdigit.types import DIGITS, Gray

Style = Literal["plain", "bold", "hollow", "shadow", "striped", "worn", "block"]
Mask = NDArray[np.float64]  # (H, W): ink, 0 to 1

FONT_PX = 96  # letters are printed at this height, styled, and then fitted into the image
PAD_PX = 24  # room around a letter for its style: the longest shadow, the thickest box
MARGIN = 0.12  # of the side stays free, as in `drawn`

# How often each style is drawn: mostly plain and bold, as in books and on signs.
STYLES: dict[Style, float] = {
    "plain": 0.32,
    "bold": 0.18,
    "hollow": 0.13,
    "shadow": 0.12,
    "striped": 0.05,
    "worn": 0.1,
    "block": 0.1,
}
DIGIT_STYLES: dict[Style, float] = {"plain": 0.6, "bold": 0.3, "worn": 0.05, "hollow": 0.05}

# Package → the files of its fonts, and their suffix.
WITHOUT_SERIFS: dict[str, tuple[tuple[str, ...], str]] = {
    "font_hanken_grotesk": (tuple(f"HankenGrotesk-{cut}" for cut in ("Light", "Regular", "Bold", "Italic")), ".otf"),
    "font_manrope": (tuple(f"Manrope-{cut}" for cut in ("Light", "Regular", "ExtraBold")), ".ttf"),
    "font_source_sans_pro": (tuple(f"SourceSansPro-{cut}" for cut in ("Light", "Regular", "Black", "It")), ".ttf"),
}
UNICODE_FAMILIES = ("DejaVuSans", "DejaVuSerif", "STIXGeneral")
COMPUTER_MODERN = {  # the characters that its fonts have at their own places; other glyphs are at wrong ones
    **dict.fromkeys(("cmb10", "cmr10", "cmss10", "cmti10", "cmtt10"), string.ascii_letters + string.digits),
    "cmmi10": string.ascii_letters,
    "cmsy10": string.ascii_uppercase,
}

GROUPS: dict[str, str] = {
    "capitals": string.ascii_uppercase,
    "small letters": string.ascii_lowercase,
    "Greek": "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθικλμνξοπρσςτυφχψω",
    "Cyrillic": "БГДЖЗИЛПУФЦЧШЩЪЫЬЭЮЯбвгджзийклмнптфцчшщъыьэюя",
    "Hebrew": "אבגדהוזחטיכךלםמןנסעףפץצקרשת",
    "Arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "Armenian and Georgian": "ԱԲԴԵԷԸԹԺԽՃՄՆՈՊՌՍՐՓՔთლოფქღრ",  # some
    "syllabics and Tifinagh": "ᐁᐃᐊᐯᐱᐳᐸᑌᑎᑐᑕᒥᒧᒪⴳⴵⴷⴹⴼⴽⵀⵃⵄⵅⵇⵉⵍⵎⵖⵜⵟⵡⵣⵥ",  # some
    "signs": "!#$%&()*+/<=>?@[]^{|}~§©®±¶×÷ÞßØæœ…‰€∆∇∈∏∑∫√∝∞∠∧∨∩∪∴≈≠≡≤≥⊂⊃⊕⊗⊥←↑→↓↔⇐⇒⇔",
    "pictures": "■□▲△▶▷▼▽◀◆◇○●★☆☀☁☂☎☘☠☢☮☯☹☺♀♂♔♕♖♗♘♙♚♛♜♝♞♟♠♡♣♥♦♫♻♿⚓⚖⚡✂✈✉✌✎✓✗✚✦✿❀❄❤➔➜➲",
}
FANCY = "fancy capitals"  # Unicode's alphabets for mathematics: script, Fraktur, double-struck, …
SHARES = {
    "capitals": 0.33,
    FANCY: 0.14,
    "small letters": 0.16,
    "signs": 0.08,
    "pictures": 0.05,
}  # the others share the rest

# Digit → characters that may be taken for it, in some font or at a small size.
LOOKS_LIKE_A_DIGIT: dict[str, str] = {
    "0": "OQoØ" + "Θθοσ" + "סםه" + "□◇○",
    "1": "il" + "ι" + "גוזיןנ" + "ادذرز" + "!()/[]{|∫⊥",
    "2": "Zz" + "ב",
    "3": "ξζ" + "ЗзЭэ" + "عغ" + "}",
    "4": "ЧчУЦцⵖ",
    "5": "Ss" + "ς" + "ל" + "لي",
    "6": "b" + "БбЪъЬь" + "ט" + "طظ",
    "7": "ךדר",
    "8": "βδ" + "в" + "§ß∞" + "♗♙♝♟ⴵ",
    "9": "gq" + "γ" + "עפףץ" + "مفقو",
}
LOOK_ALIKES = frozenset("".join(LOOKS_LIKE_A_DIGIT.values()))
# Capital → alphabets, as Unicode calls them, in which it looks like a 1, a 2 or a 3.
FANCY_LOOK_ALIKES = {"I": ("DOUBLE-STRUCK", "FRAKTUR", "BLACK-LETTER"), "J": ("FRAKTUR",), "L": ("SCRIPT",)}


def letter(*, rng: np.random.Generator, size_px: int = 112, without: Container[str] = ()) -> Gray:
    """A random letter or sign that is not a digit, in a random font and style: uint8 (size_px, size_px), ink 255 on 0.

    It is none of the characters `without`. Raises MissingExtra if matplotlib is not installed.
    """
    groups = outlier_characters()
    rest = (1 - sum(SHARES.values())) / (len(groups) - len(SHARES))
    known = list(groups)
    while True:
        group = groups[known[rng.choice(len(known), p=[SHARES.get(name, rest) for name in known])]]
        character, fonts = group[rng.integers(len(group))]
        if character not in without:
            break
    return printed(character, fonts[rng.integers(len(fonts))], rng=rng, size_px=size_px, style=_pick(STYLES, rng))


def digit(label: int, *, rng: np.random.Generator, size_px: int = 112) -> Gray:
    """The digit `label` in a random font, plain, bold, worn or hollow: uint8 (size_px, size_px), ink 255 on 0.

    Raises:
        UsageError: there is no such digit.
        MissingExtra: matplotlib is not installed.
    """
    if label not in range(10):
        raise UsageError("There is no such digit", expected="0 to 9", received=repr(label))
    fonts = [font for font in font_files() if DIGITS[label] in _characters(font)]
    font = fonts[rng.integers(len(fonts))]
    return printed(DIGITS[label], font, rng=rng, size_px=size_px, style=_pick(DIGIT_STYLES, rng))


def printed(
    character: str, font: Path, *, rng: np.random.Generator, size_px: int = 112, style: Style = "plain"
) -> Gray:
    """One character, slightly turned, slanted and stretched: uint8 (size_px, size_px), ink 255 on 0.

    A "block" is a letter cut out of a box; the other styles are what their names say. `font` is one of `font_files()`.

    Raises UsageError for a character that the font does not have, and for another style.
    """
    if character not in _characters(font):
        raise UsageError(
            f"{font.stem} has no such character", expected="a character of the font", received=repr(character)
        )
    print_styled = _PRINTERS.get(style)
    if print_styled is None:
        raise UsageError("There is no such style of print", expected=", ".join(_PRINTERS), received=repr(style))
    ink = print_styled(character, font, rng)
    if ink.max() < 0.5:  # nothing is left of it
        ink = _plain(character, font, rng)
    return _fit(_sway(ink, rng), stretch=np.exp(rng.normal(0, 0.12)), size_px=size_px)


@cache
def font_files() -> tuple[Path, ...]:
    """The fonts of matplotlib that have letters, in the order of their names, and those without serifs.

    Raises MissingExtra if one of them is not installed.
    """
    try:
        from matplotlib import get_data_path

        packages = [import_module(name) for name in WITHOUT_SERIFS]
    except ImportError as exc:
        raise MissingExtra("Printing letters needs the fonts of matplotlib and of free families", "train") from exc
    files = sorted(Path(get_data_path(), "fonts", "ttf").glob("*.ttf"))
    unicode = [f for f in files if f.stem.startswith(UNICODE_FAMILIES) and not f.stem.endswith("Display")]
    plain = [
        Path(str(package.__file__)).parent / "files" / f"{stem}{suffix}"
        for package, (stems, suffix) in zip(packages, WITHOUT_SERIFS.values(), strict=True)
        for stem in stems
    ]
    return tuple(unicode + [f for f in files if f.stem in COMPUTER_MODERN] + plain)


@cache
def _characters(font: Path) -> frozenset[str]:
    """The characters of a font."""
    from matplotlib.ft2font import FT2Font

    known = frozenset(map(chr, FT2Font(str(font)).get_charmap()))
    return known.intersection(COMPUTER_MODERN.get(font.stem, known))


def has_digits(font: Path) -> bool:
    """Whether a font has all ten digits."""
    return _characters(font).issuperset(DIGITS)


@cache
def outlier_characters() -> dict[str, list[tuple[str, list[Path]]]]:
    """By group, the characters that are not taken for a digit, each with its fonts."""
    alphabets = {**GROUPS, FANCY: "".join(filter(_is_fancy_capital, map(chr, range(0x2100, 0x1D6A4))))}
    return {
        name: [(c, fonts) for c in alphabet if c not in LOOK_ALIKES and (fonts := _fonts_for(c))]
        for name, alphabet in alphabets.items()
    }


def _fonts_for(character: str) -> list[Path]:
    """The fonts that have the character, and do not print it as a single stroke."""
    fonts = [font for font in font_files() if character in _characters(font)]
    return fonts if character != "I" else [font for font in fonts if not _is_without_serifs(font)]


def _is_without_serifs(font: Path) -> bool:
    """Whether the capital I of a font is a single stroke; fonts of one width have serifs on it."""
    plain = {stem for stems, _ in WITHOUT_SERIFS.values() for stem in stems}
    return font.stem in {"cmss10", *plain} or (font.stem.startswith("DejaVuSans") and "Mono" not in font.stem)


def _is_fancy_capital(character: str) -> bool:
    """Whether a character is a Latin capital of another alphabet, and does not look like a digit."""
    base, name = unicodedata.normalize("NFKC", character), unicodedata.name(character, "")
    return (
        base in set(string.ascii_uppercase) - LOOK_ALIKES
        and "CAPITAL" in name
        and not any(alphabet in name for alphabet in FANCY_LOOK_ALIKES.get(base, ()))
    )


def _pick(styles: dict[Style, float], rng: np.random.Generator) -> Style:
    known = list(styles)
    return known[rng.choice(len(known), p=list(styles.values()))]


@cache
def opened(font: Path, size_px: int = FONT_PX) -> ImageFont.FreeTypeFont:
    """A font of `font_files()` to print with, its letters about `size_px` high."""
    return ImageFont.truetype(str(font), size_px, layout_engine=ImageFont.Layout.BASIC)


def _print(character: str, font: Path, *, pen_px: float = 0) -> Mask:
    """The character (H, W) with a margin, its strokes `pen_px` thicker on each side."""
    face = opened(font)
    left, top, right, bottom = face.getbbox(character)
    page = Image.new("L", (int(right - left) + 2 * PAD_PX, int(bottom - top) + 2 * PAD_PX))
    ImageDraw.Draw(page).text((PAD_PX - left, PAD_PX - top), character, 255, face, stroke_width=pen_px)
    return np.asarray(page) / 255.0


def _plain(character: str, font: Path, rng: np.random.Generator) -> Mask:  # noqa: ARG001
    return _print(character, font)


def _bold(character: str, font: Path, rng: np.random.Generator) -> Mask:
    return _print(character, font, pen_px=int(rng.integers(1, 7)))


def _hollow(character: str, font: Path, rng: np.random.Generator) -> Mask:
    """Only the outline."""
    inner = int(rng.integers(0, 7))
    outer = _print(character, font, pen_px=inner + int(rng.integers(2, 6)))
    hollow: Mask = np.maximum(outer - _print(character, font, pen_px=inner), 0)
    return hollow


def _shadow(character: str, font: Path, rng: np.random.Generator) -> Mask:
    """Solid or hollow, with a shadow that is paler or equally dark and up to as long as the strokes are thick."""
    body, pen = _print(character, font), int(rng.integers(2, 5))
    around = _print(character, font, pen_px=pen)
    towards, length = rng.choice([-1, 1], 2), int(rng.integers(4, 15))
    steps = [np.roll(around, tuple(towards * step), (0, 1)) for step in range(length + 1)]
    shade = rng.uniform(0.3, 1.0) * np.max(steps[int(rng.integers(len(steps))) :], axis=0)
    shaded: Mask = np.maximum(body if rng.random() < 0.6 else around - body, shade * (1 - around))
    return shaded


def _striped(character: str, font: Path, rng: np.random.Generator) -> Mask:
    body = _print(character, font, pen_px=int(rng.integers(0, 6)))
    y, x = np.indices(body.shape)
    turn, period_px = rng.uniform(0, np.pi), rng.uniform(8, 22)
    wave = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / period_px)
    striped: Mask = np.where(wave < rng.uniform(0.2, 0.7), body, 0)
    return striped


def _worn(character: str, font: Path, rng: np.random.Generator) -> Mask:
    """With holes, like the print of a stamp with too little ink."""
    body = _print(character, font, pen_px=int(rng.integers(0, 6)))
    height, width = body.shape
    grain = int(rng.integers(4, 12))
    noise = Image.fromarray(rng.random((height // grain + 1, width // grain + 1)).astype(np.float32))
    dry = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) > rng.uniform(0.6, 0.9)
    worn: Mask = np.where(dry, 0, body)
    return worn


def _block(character: str, font: Path, rng: np.random.Generator) -> Mask:
    """Cut out of a box or a disc."""
    body = _print(character, font, pen_px=int(rng.integers(0, 4)))
    height, width = body.shape
    page = Image.new("L", (width, height))
    inset = int(rng.integers(0, PAD_PX - 6))
    draw = ImageDraw.Draw(page)
    (draw.rectangle if rng.random() < 0.6 else draw.ellipse)((inset, inset, width - inset - 1, height - inset - 1), 255)
    return np.asarray(page) / 255.0 * (1 - body)


_PRINTERS = {
    "plain": _plain,
    "bold": _bold,
    "hollow": _hollow,
    "shadow": _shadow,
    "striped": _striped,
    "worn": _worn,
    "block": _block,
}


def _sway(mask: Mask, rng: np.random.Generator) -> Image.Image:
    """Turn and slant slightly, around the middle."""
    turn, slant = np.clip(rng.normal(0, 1, 2), -2, 2) * np.array([0.06, 0.12])
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) @ np.array([[1, slant], [0, 1]])
    page = Image.fromarray(np.rint(255 * mask).astype(np.uint8))
    middle = np.array(page.size) / 2
    size = int(1.4 * max(page.size))
    offset = middle - matrix @ np.array([size / 2, size / 2])
    data = (*matrix[0], offset[0], *matrix[1], offset[1])
    return page.transform((size, size), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)


def _fit(page: Image.Image, *, stretch: float, size_px: int) -> Gray:
    """The ink of a page in the middle of a square; its longer side fills the square except for the margin."""
    ink = page.crop(page.getbbox())
    width, height = ink.width * stretch, float(ink.height)
    scale = size_px * (1 - 2 * MARGIN) / max(width, height)
    ink = ink.resize((max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BICUBIC)
    square = Image.new("L", (size_px, size_px))
    square.paste(ink, ((size_px - ink.width) // 2, (size_px - ink.height) // 2))
    return np.asarray(square).copy()
