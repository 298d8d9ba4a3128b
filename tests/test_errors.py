"""The error tree: the drawing in the docstring is the classes, and a message follows the grammar."""

from __future__ import annotations

import inspect
import re

import pytest

from inkdigit import errors
from inkdigit.errors import InkdigitError, PictureError, interleave

LINE = re.compile(r"^(?P<indent>[ │]*)[├└]─ (?P<name>\w+)(?: +(?P<exit>\d{1,2})(?= |$))?(?: +(?P<http>\d{3})(?= |$))?")
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, InkdigitError)]


def drawn() -> dict[str, tuple[str, int, int]]:
    """Class name → (parent, exit code, HTTP status), as the docstring draws them; a blank is inherited."""
    tree = {"InkdigitError": ("Exception", InkdigitError.exit_code, InkdigitError.http_status)}
    above: list[tuple[int, str]] = [(-1, "InkdigitError")]
    for line in (errors.__doc__ or "").splitlines():
        if (found := LINE.match(line)) is None:
            continue
        depth, name = len(found["indent"]), found["name"]
        above = [(d, n) for d, n in above if d < depth]
        parent = above[-1][1]
        tree[name] = (parent, int(found["exit"] or tree[parent][1]), int(found["http"] or tree[parent][2]))
        above.append((depth, name))
    return tree


def test_the_drawing_is_the_tree():
    real = {c.__name__: (c.__bases__[0].__name__, c.exit_code, c.http_status) for c in CLASSES}
    assert drawn() == real


def test_no_error_is_defined_elsewhere():
    assert {c.__name__ for c in subclasses(InkdigitError)} <= set(drawn())


def subclasses(base: type[InkdigitError]) -> set[type[InkdigitError]]:
    children = base.__subclasses__()
    return set(children).union(*map(subclasses, children))


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_error_says_what_it_is_for(error):
    assert error.__doc__
    assert error.__doc__ != (error.__bases__[0].__doc__ or "")


def test_exit_codes_tell_the_branches_apart():
    branches = InkdigitError.__subclasses__()
    assert len({b.exit_code for b in branches}) == len(branches)
    assert not {b.exit_code for b in branches} & {0, 1, 130}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InkdigitError("It is wrong"), "It is wrong."),
        (InkdigitError("Is it wrong?", hint="Ask."), "Is it wrong? Ask."),
        (InkdigitError("Wrong", expected="1 to 9", received=0), "Wrong. Expected: 1 to 9. Received: 0."),
        (
            errors.UsageError(
                "Unknown recipe 'fats'", expected="fast, best", received="fats", hint="Did you mean fast?"
            ),
            "Unknown recipe 'fats'. Expected: fast, best. Received: fats. Did you mean fast?",
        ),
        (
            errors.MalformedFile("a.csv", "a cell is no number", where="row 3", received="x"),
            "a.csv, row 3: a cell is no number. Received: x.",
        ),
        (errors.MalformedFile("a.csv", "it is empty"), "a.csv: it is empty."),
        (
            errors.MissingExtra("Training needs PyTorch", "train"),
            "Training needs PyTorch. Install it with: pip install 'inkdigit[train]'",
        ),
    ],
)
def test_a_message_says_what_is_wrong_then_expected_received_and_the_next_step(error, text):
    assert str(error) == text


def test_an_error_keeps_what_a_caller_asks_for():
    malformed = errors.MalformedFile("a.csv", "it is empty", where="row 1")
    assert (malformed.path.name, malformed.where, malformed.kind) == ("a.csv", "row 1", "MalformedFile")
    assert errors.MissingExtra("Training needs PyTorch", "train").extra == "train"
    assert errors.NotAPicture("No picture").problem == "No picture"


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_the_kind_is_the_name_of_the_class(error):
    made = error("a", "b") if error in (errors.MissingExtra, errors.MalformedFile) else error("a")
    assert made.kind == error.__name__


@pytest.mark.parametrize(
    "words", ["two\nlines", "\x1b[31mred", "a\0b", "\u202eback", "half \ud800", "x" * 100_000, "\r" * 500]
)
def test_whatever_is_quoted_an_error_is_one_short_line_of_text(words):
    text = str(InkdigitError(words, expected=words, received=words, hint=words))
    assert text.isprintable()
    assert len(text) < 3_500
    text.encode()


def test_what_is_quoted_whole_is_not_touched():
    assert str(InkdigitError("Größe 5 × 3 …", received="'7'")) == "Größe 5 × 3 …. Received: '7'."


@pytest.mark.parametrize("bad", [[], [0], [2], [0, 1, 2], [1, 3]])
def test_errors_take_their_places_among_the_answers(bad):
    places = range(4)
    errors_at = {i: PictureError(f"picture {i} is broken") for i in bad}
    answers = [f"answer {i}" for i in places if i not in bad]
    assert list(interleave(answers, errors_at)) == [errors_at.get(i, f"answer {i}") for i in places]
