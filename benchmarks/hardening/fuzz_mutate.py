"""How a good input becomes a bad one: bytes, lines, numbers and nested values changed at random.

In: a random generator and something good. Out: something that is probably invalid.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

EDGES = (0, 1, 2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
WORDS = (
    *("", "0", "-1", "1e999", "nan", "inf", "-inf", "9" * 30, "9" * 5_000, "0x" + "f" * 5_000, "1_0", "True", "null"),
    *(
        "é",
        "数",
        "\x00",
        "\ud800",
        "\u202e",
        "x" * 70_000,
        "[" * 3_000,
        "{a=" * 3_000,
        "a." * 400,
        '"',
        "'''",
        "\n",
        ",",
    ),
    *(
        "..",
        "../../../etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        ".",
        "/",
        "~",
        "*",
        "$(id)",
        "%s%n",
        "{}",
        "{0.__class__}",
    ),
)


def mutate_bytes(rng: Random, good: bytes, *, others: Sequence[bytes] = ()) -> bytes:
    """Some bytes changed, lost, doubled, moved or put in; or the beginning of one file with the end of another."""
    data = bytearray(good)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, length = rng.randrange(len(data) + 1), rng.choice((1, 4, 16, 200, 4_000))
        match rng.randrange(9):
            case 0:
                for _ in range(rng.choice((1, 4, 40))):
                    if data:
                        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            case 1:
                data[at : at + length] = rng.randbytes(min(length, 64))
            case 2:
                del data[at:]
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * rng.choice((1, 30))
            case 5:
                data[at:at] = bytes((rng.choice((0, 255)),)) * length
            case 6:
                size, order = rng.choice((1, 2, 4, 8)), rng.choice(("little", "big"))
                data[at : at + size] = (rng.choice(EDGES) % 256**size).to_bytes(size, order)
            case 7 if others:
                other = rng.choice(others)
                data[at:] = other[rng.randrange(len(other) + 1) :]
            case _:  # most formats are sensitive to their header
                if data:
                    data[rng.randrange(min(len(data), 64))] = rng.randrange(256)
    return bytes(data)


def mutate_text(rng: Random, good: str) -> bytes:
    """Words, lines or bytes of a text changed; it usually is still a text."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, good.encode())
    lines = good.splitlines(keepends=True) or [""]
    for _ in range(rng.choice((1, 1, 2, 4))):
        i = rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[i]
                lines = lines or [""]
            case 1:
                lines[i:i] = [lines[i]] * rng.choice((1, 3, 500))
            case 2:
                j = rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
            case 3:
                lines[i] = lines[i].replace(rng.choice((",", "=", '"', "\n", " ", ":")), rng.choice(WORDS), 1)
            case _:
                words = _split(lines[i])
                at = rng.randrange(len(words))
                words[at] = rng.choice((*WORDS, words[at] * rng.choice((2, 200))))
                lines[i] = "".join(words)
    encoding = rng.choice(("utf-8",) * 12 + ("utf-16", "latin-1"))
    return "".join(lines).encode(encoding, errors="surrogatepass" if encoding == "utf-8" else "replace")


def _split(line: str) -> list[str]:
    """A line as words and what is between them."""
    words: list[str] = []
    for character in line:
        if words and character.isalnum() == words[-1][-1:].isalnum():
            words[-1] += character
        else:
            words.append(character)
    return words or [""]


def any_value(rng: Random, *, depth: int = 3) -> Any:
    """A value as JSON or TOML could hold it, probably not the expected one."""
    simple: tuple[Callable[[], Any], ...] = (
        lambda: rng.choice((None, True, False, 0, 1, -1, 0.5, 1e308, 1e-308, -0.0, math.nan, math.inf)),
        lambda: rng.choice((10**6, 10**12, 10**18, 2**31, 2**63 - 1, 10**25)),
        lambda: rng.choice(WORDS),
        lambda: rng.uniform(-10, 300),
        lambda: rng.randrange(-3, 300),
    )
    if depth and rng.random() < 0.35:
        size = rng.choice((0, 1, 2, 3, 300 if depth == 3 else 1))
        if rng.random() < 0.5:
            return [any_value(rng, depth=depth - 1) for _ in range(size)]
        return {rng.choice(WORDS[:20]): any_value(rng, depth=depth - 1) for _ in range(size)}
    return rng.choice(simple)()


def mutate_value(rng: Random, good: Any) -> Any:
    """A nested value with one place of it replaced, taken away, or added to."""
    if isinstance(good, dict) and good and rng.random() < 0.9:
        key = rng.choice(sorted(good))
        changed = dict(good)
        match rng.randrange(6):
            case 0:
                del changed[key]
            case 1:
                changed[rng.choice(WORDS[:20])] = any_value(rng)
            case _:
                changed[key] = mutate_value(rng, good[key])
        return changed
    if isinstance(good, list) and good and rng.random() < 0.8:
        i = rng.randrange(len(good))
        return rng.choice(
            (
                lambda: [*good[:i], mutate_value(rng, good[i]), *good[i + 1 :]],
                lambda: good[:i] + good[i + 1 :],
                lambda: good * rng.choice((2, 50)),
            )
        )()
    return any_value(rng)
