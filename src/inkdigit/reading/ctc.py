"""From what the line reader says of each step to text: the most probable one, or the best that a pattern allows.

In: log probabilities (T, 1 + A), the blank first, then the characters of an alphabet. Out: a `Decoded`. After Graves,
Fernández, Gomez, Schmidhuber (2006), prefix beam search after Hannun, Maas, Jurafsky, Ng (2014).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import exp, log1p

import numpy as np
from numpy.typing import NDArray

from inkdigit.reading.pattern import Pattern, State
from inkdigit.types import Floats

BEAM, FEWER = 16, 6  # texts that are followed at a time: in the only view, and in each of several
LIKELY = 1e-4  # characters less probable than this are not tried at a step, except where a pattern leaves no choice
FEW = 2  # characters that a pattern may demand: they are tried at every step
NEVER = -1e30  # the logarithm of nothing
# Views of one line err together, but not always: this power of their mean makes the texts of composed lines that
# trained nothing about as likely as they can be (of 0.7 to 2).
SHARPNESS = 1.1
# How many texts a witness sees, and the weight of what it says: more helps with cheques, less with noisy lines.
FEW_TEXTS, TRUST = 8, 0.1
# A 1 that leans looks like a stroke between numbers. Of numbers as people write them few have one, but for dates.
STROKE, STROKE_PRIOR = "/", 0.05
DATE = re.compile(r"\d{1,2}/\d{1,2}/(\d{2}|\d{4})")

Rows = NDArray[np.float64]
Prefix = tuple[str, State | None]  # a text so far, and the state of the pattern after it


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text, its log probability, and where its characters are."""

    text: str
    log_prob: float
    spans: tuple[tuple[int, int], ...]  # of each character: the steps from its first to behind its last one
    sure: tuple[float, ...]  # of each character: its probability among all characters where it is most probable


Witness = Callable[[Sequence[Decoded]], Rows]  # texts → how probable each is, (n,), logarithms


def decode(log_probs: Floats, alphabet: str, pattern: Pattern | None = None) -> Decoded | None:
    """The most probable text; with a pattern, of those that fit it; None if none of them is short enough."""
    rows = log_probs.astype(np.float64)
    text, log_prob = _greedy(rows, alphabet)
    if STROKE in text or not _is_sure(rows):
        text, log_prob = _best(_beams(rows, alphabet, None))
    if pattern is not None and not pattern.matches(text):  # the most probable text of all is that of those that fit
        beams = _beams(rows, alphabet, pattern)
        if not beams:
            return None
        log_prob, text = max((log_prob, text) for (text, _), log_prob in beams.items())
    return align(rows, text, log_prob, alphabet)


def agree(
    views: Sequence[Floats], alphabet: str, pattern: Pattern | None = None, *, witness: Witness | None = None
) -> Decoded | None:
    """As `decode`, of several views of one line: the text that all of them together find most probable.

    A text is as probable as a power of the geometric mean over the views says, among all texts that may be in one of
    them. Of the most probable ones a `witness`, which has not seen the views, tells how probable it finds each.
    """
    rows = [view.astype(np.float64) for view in views]
    allowed = {text for each in rows for text, _ in _beams(each, alphabet, pattern, beam=FEWER)}
    if not allowed:
        return None
    unlimited = [] if pattern is None else rows
    texts = sorted(allowed | {text for each in unlimited for text, _ in _beams(each, alphabet, None, beam=FEWER)})
    mean = probabilities(_of_one_length(rows), texts, alphabet).mean(axis=0)
    known = SHARPNESS * (mean + [_prior(text) for text in texts])
    order = sorted(range(len(texts)), key=lambda i: -known[i])
    order = sorted({*order[:FEW_TEXTS], *[i for i in order if texts[i] in allowed][:FEW_TEXTS]})
    aligned = [align(rows[0], texts[i], known[i], alphabet) for i in order]
    said = known[order] + (0 if witness is None else TRUST * witness(aligned))
    best = max(range(len(order)), key=lambda i: (aligned[i].text in allowed, said[i]))
    return replace(aligned[best], log_prob=float(said[best] - np.logaddexp.reduce(said)))


def _of_one_length(views: Sequence[Rows]) -> Rows:
    """Views of different length as one array (V, T, 1 + A): behind their ends there is nothing but the blank."""
    padded = np.full((len(views), max(map(len, views)), views[0].shape[1]), NEVER)
    padded[:, :, 0] = 0
    for into, view in zip(padded, views, strict=True):
        into[: len(view)] = view
    return padded


def probabilities(rows: Rows, texts: Sequence[str], alphabet: str) -> Rows:
    """The log probability of each text in each view, (V, n), of rows (V, T, 1 + A).

    It is the sum over all paths (Graves et al. 2006, section 4.1).
    """
    states, may_skip = _states(texts, alphabet)
    sums = np.full((3, len(rows), *states.shape), NEVER)  # of paths that stay, come from the state before, skip a blank
    sums[0, :, :, 0] = 0
    for i in range(rows.shape[1]):
        if i:
            sums[1, ..., 1:] = sums[0, ..., :-1]
            sums[2, ..., 2:] = np.where(may_skip[:, 2:], sums[0, ..., :-2], NEVER)
        else:
            sums[1, ..., 1] = 0
        sums[0] = np.logaddexp.reduce(sums, axis=0) + rows[:, i, states]
    ends, each = 2 * np.array([len(text) for text in texts]), np.arange(len(texts))
    return np.asarray(np.logaddexp(sums[0][:, each, ends], np.where(ends > 0, sums[0][:, each, ends - 1], NEVER)))


def _best(beams: dict[Prefix, float]) -> tuple[str, float]:
    """The text that is most probable when it is known how rare a stroke is, and its log probability then."""
    known = {text: log_prob + _prior(text) for (text, _), log_prob in beams.items()}
    text = max(known, key=lambda text: known[text])
    before, after = (float(np.logaddexp.reduce(list(each))) for each in (beams.values(), known.values()))
    return text, min(0.0, known[text] + before - after)


def _prior(text: str) -> float:
    """The logarithm of how probable strokes are in a text, apart from how they look."""
    return 0.0 if DATE.fullmatch(text) else text.count(STROKE) * float(np.log(STROKE_PRIOR))


def _is_sure(rows: Rows) -> bool:
    """Whether one character is much more probable than the others at every step."""
    return bool(rows.max(1).min(initial=0.0) > np.log(0.99))


def _greedy(rows: Rows, alphabet: str) -> tuple[str, float]:
    best = rows.argmax(1)
    kept = best[np.flatnonzero(np.diff(best, prepend=0))]
    return "".join(alphabet[i - 1] for i in kept if i), float(rows.max(1).sum())


def _beams(rows: Rows, alphabet: str, pattern: Pattern | None, *, beam: int = BEAM) -> dict[Prefix, float]:
    """The texts that are left at the end of a line, and their log probabilities."""
    index = {character: 1 + i for i, character in enumerate(alphabet)}
    start: Prefix = ("", pattern.start if pattern else None)
    beams: dict[Prefix, tuple[float, float]] = {start: (0.0, NEVER)}  # of ends in a blank, and in a character
    for row, probable in zip(rows.tolist(), rows > np.log(LIKELY), strict=True):
        likely = [alphabet[i - 1] for i in np.flatnonzero(probable).tolist() if i]
        new: dict[Prefix, tuple[float, float]] = {}

        def add(prefix: Prefix, blank: float, ink: float, new: dict[Prefix, tuple[float, float]] = new) -> None:
            before = new.get(prefix)
            new[prefix] = (blank, ink) if before is None else (_sum(before[0], blank), _sum(before[1], ink))

        for prefix, (blank, ink) in beams.items():
            text, state = prefix
            both = _sum(blank, ink)
            add(prefix, both + row[0], ink + row[index[text[-1]]] if text else NEVER)
            after = pattern.after(state) if pattern and state is not None else None
            candidates = (
                likely if after is None else [*after] if len(after) <= FEW else [c for c in likely if c in after]
            )
            for character in candidates:
                mass = blank if text.endswith(character) else both
                add((text + character, after[character] if after else None), NEVER, mass + row[index[character]])
        best = sorted(new.items(), key=lambda item: -_sum(*item[1]))[:beam]
        beams = dict(best)
    return {
        prefix: _sum(*masses)
        for prefix, masses in beams.items()
        if pattern is None or (prefix[1] is not None and pattern.accepts(prefix[1]))
    }


def _sum(a: float, b: float) -> float:
    """The logarithm of a sum of two probabilities."""
    more, less = (a, b) if a > b else (b, a)
    return more + log1p(exp(less - more)) if less > NEVER else more


def _states(texts: Sequence[str], alphabet: str) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """What each text goes through, (n, S): blank, character, blank, …, and whether the blank before may be left out."""
    states = np.zeros((len(texts), 2 * max(1, *map(len, texts)) + 1), np.intp)
    for i, text in enumerate(texts):
        states[i, 1 : 2 * len(text) : 2] = [1 + alphabet.index(character) for character in text]
    may_skip = np.zeros(states.shape, bool)
    may_skip[:, 3::2] = states[:, 3::2] != states[:, 1:-2:2]
    return states, may_skip


def align(rows: Rows, text: str, log_prob: float, alphabet: str) -> Decoded:
    """Where the characters of a text are, by the most probable path (Viterbi)."""
    states, may_skip = (each[0] for each in _states([text], alphabet))
    score = np.full(len(states), NEVER)
    score[:2] = rows[0, states[:2]] if len(rows) else 0
    back = np.zeros((len(rows), len(states)), np.int8)
    for t in range(1, len(rows)):
        options = np.full((3, len(states)), NEVER)
        options[0] = score
        options[1, 1:] = score[:-1]
        options[2, 2:] = np.where(may_skip[2:], score[:-2], NEVER)
        back[t] = options.argmax(0)
        score = options.max(0) + rows[t, states]
    at = len(states) - 1 if score[-1] >= score[-2] else len(states) - 2
    path = np.zeros(len(rows), np.intp)
    for t in range(len(rows) - 1, -1, -1):
        path[t] = at
        at -= int(back[t, at])
    spans, sure = [], []
    for i in range(len(text)):
        steps = np.flatnonzero(path == 2 * i + 1)
        begin, end = (int(steps[0]), int(steps[-1]) + 1) if steps.size else (0, 0)
        peak = rows[begin + int(rows[begin:end, states[2 * i + 1]].argmax())] if end > begin else rows[0]
        spans.append((begin, end))
        sure.append(float(np.exp(peak[states[2 * i + 1]] - np.logaddexp.reduce(peak[1:]))))
    return Decoded(text, log_prob, tuple(spans), tuple(sure))
