"""Reading: pictures of any size → numbers, with their confidence, their place, and the place of each character.

In: paths, bytes, PIL images or arrays. Out: one `Reading` for each picture. Everything that reads numbers calls
`Reader.read`. ONNX Runtime runs the networks; no training library is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import onnxruntime as ort

from inkdigit.errors import ModelFileError, PictureError, SelfTestFailed, UsageError
from inkdigit.model.card import Card
from inkdigit.model.recognizer import find as find_model
from inkdigit.model.recognizer import is_of_package
from inkdigit.model.schema import LINE
from inkdigit.model.session import broken, open_model
from inkdigit.picture.decode import Picture, Pictures, decode_page, split_pictures
from inkdigit.reading import ctc, second, witness
from inkdigit.reading.finder import LIKE_NUMBER, Found, find
from inkdigit.reading.pattern import Pattern, characters, compile_pattern
from inkdigit.reading.view import leaning, view
from inkdigit.types import DIGITS, NO_INK, NOT_A_NUMBER, UNSURE, Digit, Floats, Gray, Number, Reading

DEFAULT = "line"  # the bundled one
SURE = 0.9  # the confidence from which a line is not read again, and is a digit even if it looks like a letter
LIKELY = 0.5  # the same for several characters that look like a word: of 1,200 printed words, 3 are read so
# The power of the confidence of a line that is not read again: of composed lines that trained nothing more are right
# than it says, 97.9 % of 340 at 96.3 % in the mean.
FIRST_LOOK = 0.4
WIDEST = 1.6  # of a character with the gap beside it, in heights of its line: wider ink is something else
AGAIN_PX = 384  # the width up to which a line is read again: nine times the time in all
TOLERANCE = 5e-3  # of a probability in the self test


class Reader:
    """A loaded line reader."""

    def __init__(self, session: ort.InferenceSession, card: Card, *, path: Path) -> None:
        """Use `load`, which reads the session and the card from a file."""
        self._session = session
        self.card = card
        self.path = path
        self.alphabet = "".join(card.classes)
        self._accept = card.calibration.accept_score or 0.0

    @classmethod
    def load(cls, model: str | Path = "default") -> Reader:
        """Open a line reader by its bundled name, the directory of its training or its path; and run its self test.

        Raises:
            UsageError: there is no such model.
            OtherTask: it is a model for single digits.
            NotAModelFile: the file is not ONNX, or has no card.
            SelfTestFailed: the file does not read what it did when it was written.
        """
        path = find_model(DEFAULT if model == "default" else model)
        session, text = open_model(path, task=LINE)
        reader = cls(session, Card.from_json(text, where=str(path), check=not is_of_package(path)), path=path)
        reader._test_itself()
        return reader

    @classmethod
    def of(cls, model: Reader | str | Path) -> Reader:
        """`model` itself where it is loaded already, else what `load` opens."""
        return cls.load(model) if isinstance(model, str | Path) else model

    def _repr_html_(self) -> str:
        """What a notebook shows: the card."""
        import inkdigit.markup as markup
        from inkdigit.model.facts import facts

        return markup.block(self.card.name, markup.facts(facts(self.card)), note=self.path.name)

    def read(
        self,
        pictures: Pictures,
        *,
        expect: str | None = None,
        alphabet: str | None = None,
    ) -> list[Reading]:
        """Read the numbers of each picture; always a list, also for one.

        `expect` is a regular expression that a number fits, `alphabet` are the only characters that it may have.

        Raises:
            PictureError: a picture cannot be read; nothing is read then.
            UsageError: no number can fit `expect`, or the reader does not know a character of `alphabet`.
        """
        answers: list[Reading] = []
        several = split_pictures(pictures)
        for picture, answer in zip(several, self.read_each(several, self.pattern(expect, alphabet)), strict=True):
            if isinstance(answer, PictureError):
                raise answer
            answers.append(replace(answer, file=picture) if isinstance(picture, str | Path) else answer)
        return answers

    def read_each(
        self, pictures: Iterable[Picture | PictureError], pattern: Pattern | None = None
    ) -> Iterator[Reading | PictureError]:
        """Read pictures as they come, in their order; one that cannot be read gives its error instead."""
        for picture in pictures:
            try:
                if isinstance(picture, PictureError):
                    raise picture
                gray, size = decode_page(picture)
                yield in_pixels_of(size, self.read_gray(gray, pattern), gray)
            except PictureError as exc:
                yield exc

    def pattern(self, expect: str | None, alphabet: str | None) -> Pattern | None:
        """The automaton that readings must obey; None if all are allowed."""
        if expect is None and alphabet is None:
            return None
        if expect == "":
            raise UsageError("The pattern is empty", expected="one that a number fits, or none")
        known = self.alphabet if alphabet is None else characters(alphabet)
        if unknown := sorted(set(known) - set(self.alphabet)):
            raise UsageError(
                f"This reader does not know {' '.join(unknown)}", expected=f"characters among {self.alphabet!r}"
            )
        if not set(known) & set(DIGITS):
            raise UsageError("The alphabet has no digit", expected="some of 0-9", received=repr(alphabet))
        return compile_pattern(".*" if expect is None else expect, known)

    def read_gray(self, gray: Gray, pattern: Pattern | None = None) -> Reading:
        """The numbers of one picture, gray uint8 (H, W), with boxes in its pixels."""
        lines = find(gray)
        numbers = tuple(self._number(gray, line, pattern) for line in lines)
        good = [number for number in numbers if number.reason is None]
        if good:
            confidence = float(np.prod([number.confidence for number in good]))
            return Reading(" ".join(number.text for number in good), confidence, numbers)
        reason = numbers[0].reason if len({number.reason for number in numbers}) == 1 else UNSURE
        return Reading("", 0.0, numbers, reason if numbers else NO_INK)

    def _number(self, gray: Gray, line: Found, pattern: Pattern | None) -> Number:
        top, left, bottom, right = line.box
        decoded, steps = self._decoded(view(gray[top:bottom, left:right]), pattern)
        if decoded is None or not any(character in DIGITS for character in decoded.text):
            return Number("", 0.0, line.box, reason=NOT_A_NUMBER)
        confidence = float(np.exp(decoded.log_prob))
        step = (right - left) / steps
        digits = tuple(
            Digit(character, sure, (top, left + round(begin * step), bottom, left + round(end * step)))
            for character, sure, (begin, end) in zip(decoded.text, decoded.sure, decoded.spans, strict=True)
        )
        reason = self._reason(line, decoded.text, confidence, expected=pattern is not None)
        return Number(decoded.text, confidence, line.box, digits, reason)

    def _decoded(self, seen: Gray, pattern: Pattern | None) -> tuple[ctc.Decoded | None, int]:
        """The text of a view (2, 48, w), and the steps along it; one that is not sure is looked at again."""
        log_probs = self.log_probs(seen[None])
        decoded = ctc.decode(log_probs[0], self.alphabet, pattern)
        if decoded is not None and decoded.log_prob >= np.log(SURE):
            return replace(decoded, log_prob=FIRST_LOOK * decoded.log_prob), log_probs.shape[1]
        if seen.shape[2] <= AGAIN_PX:
            views = [*log_probs, *self.log_probs(leaning(seen))]
            if is_of_package(self.path):  # your own reader knows your digits better than the second one does
                views += second.look(seen)
            decoded = ctc.agree(views, self.alphabet, pattern, witness=partial(witness.judge, seen[1]))
        return decoded, log_probs.shape[1]

    def _reason(self, line: Found, text: str, confidence: float, *, expected: bool) -> str | None:
        """Why a line is refused: the reader is not sure, or not sure enough of what looks like a word or a letter.

        What is wider than its few characters is no number, either. Where its text fits what the caller expects, a line
        is not refused as a word.
        """
        top, left, bottom, right = line.box
        is_wide = right - left > WIDEST * len(text) * (bottom - top)
        if is_wide or (line.number < LIKE_NUMBER and confidence < (LIKELY if expected or len(text) > 1 else SURE)):
            return UNSURE if expected else NOT_A_NUMBER
        return UNSURE if confidence < self._accept else None

    def log_probs(self, views: Gray) -> Floats:
        """The network on uint8 (N, 2, 48, w): log probabilities (N, T, 1 + A)."""
        try:
            return np.asarray(self._session.run(None, {"line": views})[0], np.float32)
        except broken() as exc:
            raise ModelFileError(f"{self.path}: the network does not run ({exc})") from exc

    def _test_itself(self) -> None:
        test = self.card.self_test
        try:
            probs = np.exp(self.log_probs(test.images)).reshape(-1, 1 + len(self.alphabet))
        except (ModelFileError, ValueError) as exc:
            raise SelfTestFailed(str(exc)) from exc
        test.check(probs, allowed=TOLERANCE, path=self.path)


def in_pixels_of(size: tuple[int, int], reading: Reading, gray: Gray) -> Reading:
    """A reading of `gray` with the boxes in the pixels of a picture of this height and width."""
    h, w = gray.shape
    return reading if size == (h, w) else reading.placed(scale=(size[0] / h, size[1] / w))


def read(
    pictures: Pictures,
    *,
    model: Reader | str | Path = "default",
    expect: str | None = None,
    alphabet: str | None = None,
) -> list[Reading]:
    """Read the numbers of each picture; always a list, also for one.

    Args:
        pictures: one picture, or several in a list, a tuple or an array: paths, bytes of a file, PIL images, arrays.
        model: what reads them: by default the bundled reader; a path, or what `Reader.load` returns.
        expect: a regular expression that each number fits, such as `[0-9]{7}`; the most probable text that fits counts.
        alphabet: the only characters that a number may have, such as `0-9`.

    Raises:
        PictureError: a picture cannot be read; nothing is read then.
        UsageError: there is no such model, no number can fit `expect`, or the reader does not know a character of
            `alphabet`.
    """
    reader = _bundled() if model == "default" else Reader.of(model)
    return reader.read(pictures, expect=expect, alphabet=alphabet)


@cache
def _bundled() -> Reader:
    """The bundled reader, loaded for the first call of `read`."""
    return Reader.load()
