"""Patterns that a number must fit: a regular expression becomes an automaton that the decoder obeys.

In: a regular expression, and the alphabet of a reader. Out: a `Pattern`, whose states say which characters may follow.
Only what describes a set of texts is known: characters, classes, groups, `|`, `?`, `*`, `+`, `{m,n}`, `.`, `\\d`. The
states are sets of positions (Glushkov 1961), found as they are needed, so that no expression takes long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

# Of the standard library, without a promise: they are the same in Python 3.11 to 3.14.
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, ClassVar

from inkdigit.errors import UsageError

MAX_CHARACTERS = 500  # of an expression
MAX_POSITIONS = 500  # characters of an expression whose repetitions are written out: numbers have a dozen
MAX_PARTS = 5_000  # of it, with those that have no characters: a group of nothing can be repeated as well
MAX_PAIRS = 200_000  # of characters that may follow each other, each time that they are found: a tenth of a second
MAX_DEPTH = 20  # of groups in each other

TIMES = "x", "×"  # how people write the sign, and how the reader does
State = frozenset[int]  # positions of which the last character may be one; the start is {0}
Part = tuple[set[int], set[int], bool]  # where a part of an expression may begin and end, and whether it may be empty


@dataclass(slots=True)
class Pattern:
    """An automaton over an alphabet."""

    text: str
    alphabet: str
    _characters: list[str] = field(default_factory=lambda: [""])  # of each position; 0 is before the first character
    _follows: list[set[int]] = field(default_factory=lambda: [set()])
    _last: set[int] = field(default_factory=set)
    _parts: int = 0  # that were written out
    _pairs: int = 0  # that were found
    _known: dict[State, dict[str, State]] = field(default_factory=dict)

    start: ClassVar[State] = frozenset({0})

    @property
    def size(self) -> int:
        """How many parts, and pairs of characters that may follow each other, it has: they take time and memory."""
        return self._parts + self._pairs

    def after(self, state: State) -> dict[str, State]:
        """The characters that may follow in a state, and the state after each."""
        if state not in self._known:
            then: dict[str, set[int]] = {}
            for position in {follower for one in state for follower in self._follows[one]}:
                for character in self._characters[position]:
                    then.setdefault(character, set()).add(position)
            self._known[state] = {character: frozenset(positions) for character, positions in then.items()}
        return self._known[state]

    def accepts(self, state: State) -> bool:
        """Whether a text may end in a state."""
        return not self._last.isdisjoint(state)

    def matches(self, text: str) -> bool:
        """Whether a whole text fits."""
        state = self.start
        for character in text:
            if (after := self.after(state).get(character)) is None:
                return False
            state = after
        return self.accepts(state)


def characters(text: str) -> str:
    """The characters of an alphabet as it is written: `0-9` are the digits from 0 to 9, and x is ×."""

    def between(found: re.Match[str]) -> str:
        return "".join(chr(code) for code in range(ord(found[1]), ord(found[2]) + 1))

    return re.sub(r"([0-9])-([0-9])", between, text).replace(*TIMES)


def compile_pattern(text: str, alphabet: str) -> Pattern:
    """The automaton of a regular expression over an alphabet.

    Raises:
        UsageError: no regular expression, one with what is not known here, one that is too long, or one that no text
            of the alphabet fits.
    """
    if len(text) > MAX_CHARACTERS:
        raise UsageError("The pattern is too long", expected=f"at most {MAX_CHARACTERS} characters", received=len(text))
    if _depth(text) > MAX_DEPTH:
        raise UsageError("The pattern is nested too deep", expected=f"at most {MAX_DEPTH} groups in each other")
    try:
        tree = parser.parse(text)
    except (re.error, RecursionError, OverflowError) as exc:
        raise UsageError(f"The pattern {text!r} is not a regular expression: {exc}") from exc
    if tree.state.flags & ~re.UNICODE.value:
        raise _unknown(text, "flags")
    pattern = Pattern(text, alphabet)
    first, last, empty = _sequence(pattern, tree)
    pattern._follows[0] = first
    pattern._last = last | ({0} if empty else set())
    if not _can_end(pattern):
        raise UsageError(f"No number fits the pattern {text!r}", expected=f"characters among {alphabet!r}")
    return pattern


def _unknown(text: str, what: str) -> UsageError:
    return UsageError(
        f"The pattern {text!r} has {what}, which a number cannot have",
        expected=r"characters, [classes], (groups), |, ?, *, +, {m,n}, . and \d",
    )


def _depth(text: str) -> int:
    """How many groups are in each other, at most; escaped brackets count, which only makes it more."""
    depth = deepest = 0
    for character in text:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _too_large(pattern: Pattern) -> UsageError:
    return UsageError(
        f"The pattern {pattern.text!r} is too large",
        expected=f"at most {MAX_POSITIONS:,} characters when its repetitions are written out",
    )


def _sequence(pattern: Pattern, items: Any) -> Part:
    """One item after the other."""
    pattern._parts += 1
    if pattern._parts > MAX_PARTS:
        raise _too_large(pattern)
    return _joined(pattern, (_item(pattern, *item) for item in items))


def _joined(pattern: Pattern, parts: Iterable[Part]) -> Part:
    """Parts one after the other: what ends in one goes on in the next."""
    first: set[int] = set()
    last: set[int] = set()
    empty = True
    for begins, ends, skippable in parts:
        _follow(pattern, last, begins)
        first = first | begins if empty else first
        last = last | ends if skippable else ends
        empty = empty and skippable
    return first, last, empty


def _follow(pattern: Pattern, before: set[int], after: set[int]) -> None:
    """Let characters follow others."""
    pattern._pairs += len(before) * len(after)
    if pattern._pairs > MAX_PAIRS:
        raise _too_large(pattern)
    for position in before:
        pattern._follows[position] |= after


def _item(pattern: Pattern, code: Any, value: Any) -> Part:
    """One item of a parsed expression."""
    if code is codes.LITERAL:
        return _position(pattern, {_known(chr(value))})
    if code is codes.NOT_LITERAL:
        return _position(pattern, set(pattern.alphabet) - {chr(value)})
    if code is codes.ANY:
        return _position(pattern, set(pattern.alphabet))
    if code is codes.IN:
        return _position(pattern, _class(pattern, value))
    if code is codes.SUBPATTERN and not value[1] and not value[2]:
        return _sequence(pattern, value[3])
    if code is codes.BRANCH:
        parts = [_sequence(pattern, branch) for branch in value[1]]
        return set().union(*(p[0] for p in parts)), set().union(*(p[1] for p in parts)), any(p[2] for p in parts)
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
        return _repeat(pattern, *value)
    if code is codes.AT and value in (codes.AT_BEGINNING, codes.AT_BEGINNING_STRING, codes.AT_END, codes.AT_END_STRING):
        return set(), set(), True
    raise _unknown(pattern.text, str(code).lower().replace("_", " "))


def _known(character: str) -> str:
    return TIMES[1] if character == TIMES[0] else character


def _repeat(pattern: Pattern, least: int, most: Any, items: Any) -> Part:
    """An item several times: written out as often as it must stand, then a loop or what may be left out."""
    count = max(least, 1) if most is codes.MAXREPEAT else int(most)
    copies = [_sequence(pattern, items) for _ in range(count)]
    if most is codes.MAXREPEAT and copies:
        _follow(pattern, copies[-1][1], copies[-1][0])
    return _joined(pattern, ((*part[:2], part[2] or number >= least) for number, part in enumerate(copies)))


def _position(pattern: Pattern, characters: set[str]) -> Part:
    if len(pattern._characters) > MAX_POSITIONS:
        raise _too_large(pattern)
    pattern._characters.append("".join(sorted(characters & set(pattern.alphabet))))
    pattern._follows.append(set())
    position = len(pattern._characters) - 1
    return {position}, {position}, False


def _class(pattern: Pattern, items: Any) -> set[str]:
    """The characters of a class such as [0-9.,]."""
    found: set[str] = set()
    negated = False
    for code, value in items:
        if code is codes.NEGATE:
            negated = True
        elif code is codes.LITERAL:
            found.add(_known(chr(value)))
        elif code is codes.RANGE:
            found |= {one for one in pattern.alphabet if value[0] <= ord(one) <= value[1]}
        elif code is codes.CATEGORY and value is codes.CATEGORY_DIGIT:
            found |= set("0123456789")
        elif code is codes.CATEGORY and value is codes.CATEGORY_NOT_DIGIT:
            found |= set(pattern.alphabet) - set("0123456789")
        elif code is codes.CATEGORY and value is codes.CATEGORY_SPACE:
            found.add(" ")
        else:
            raise _unknown(pattern.text, "a class of letters")
    return set(pattern.alphabet) - found if negated else found


def _can_end(pattern: Pattern) -> bool:
    """Whether some text fits: an end can be reached by characters of the alphabet."""
    seen, todo = {0}, [0]
    while todo:
        position = todo.pop()
        if position in pattern._last:
            return True
        for follower in pattern._follows[position]:
            if follower not in seen and pattern._characters[follower]:
                seen.add(follower)
                todo.append(follower)
    return False
