"""The error tree: the drawing in the docstring is the classes, and every message follows the grammar."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from inkdigit import errors
from inkdigit.errors import InkdigitError, PictureError, interleave

LINE = re.compile(r"^(?P<indent>[ │]*)[├└]─ (?P<name>\w+)(?: +(?P<exit>\d{1,2})(?= |$))?(?: +(?P<http>\d{3})(?= |$))?")
CLASSES = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, InkdigitError)]
PACKAGE = Path(errors.__file__).parent


def drawn() -> dict[str, tuple[str, int, int]]:
    """Class name → (parent, exit code, HTTP status), as the docstring draws them; a blank is inherited."""
    root = re.search(r"InkdigitError +exit (\d+) +HTTP (\d+)", str(errors.__doc__))
    assert root is not None
    tree = {"InkdigitError": ("Exception", int(root[1]), int(root[2]))}
    above: list[tuple[int, str]] = [(-1, "InkdigitError")]
    for line in (errors.__doc__ or "").splitlines():
        if (match := LINE.match(line)) is None:
            continue
        depth, name = len(match["indent"]), match["name"]
        above = [(d, n) for d, n in above if d < depth]
        parent = above[-1][1]
        tree[name] = (parent, int(match["exit"] or tree[parent][1]), int(match["http"] or tree[parent][2]))
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


def test_every_error_says_what_it_is_for():
    assert [c.__name__ for c in CLASSES if not c.__doc__ or c.__doc__ == c.__bases__[0].__doc__] == []


def calls() -> Iterator[tuple[str, ast.Call]]:
    """Every place in the package where an error of the tree is made: file and line, and the call."""
    names = {c.__name__ for c in CLASSES}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                yield f"{path.relative_to(PACKAGE)}:{node.lineno}", node


def literal(node: ast.expr | None) -> str:
    """A text as it stands in the code, `{}` for what is filled in; empty where it is not written down there."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_every_leaf_is_raised_somewhere():
    leaves = {c.__name__ for c in CLASSES if not c.__subclasses__()}
    assert leaves - {call.func.id for _, call in calls()} == set()


def test_messages_follow_the_grammar():
    """The class adds full stops and the words Expected and Received; a hint is a sentence, or ends in what to type."""
    failures = []
    for place, call in calls():
        at = 1 if call.func.id == "MalformedFile" else 0
        given = {keyword.arg: literal(keyword.value) for keyword in call.keywords}
        problem, hint = literal(call.args[at]) if len(call.args) > at else "", given.get("hint", "")
        if problem.endswith(".") or re.search(r"[Ee]xpected:|[Rr]eceived:", problem):
            failures.append(f"{place}: the problem is {problem!r}")
        if any(given.get(name, "").endswith(".") for name in ("expected", "received")):
            failures.append(f"{place}: a full stop after what is expected or received")
        if hint and not (hint.endswith((".", "?", "!", "{}")) or ": " in hint):
            failures.append(f"{place}: the hint is {hint!r}")
    assert not failures


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
            errors.MalformedFile("a.csv", "a cell is not a number", where="row 3", received="x"),
            "a.csv, row 3: a cell is not a number. Received: x.",
        ),
        (errors.MalformedFile("a.csv", "it is empty"), "a.csv: it is empty."),
        (
            errors.MissingExtra("Training needs PyTorch", "train"),
            f"Training needs PyTorch. Install it with: {errors.pip_install('train')}",
        ),
    ],
)
def test_a_message_says_what_is_wrong_then_expected_received_and_the_next_step(error, text):
    assert str(error) == text


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file:///", "dir_info": {}}, "pip install '/[train]'"),
        ({"url": "file:///", "dir_info": {"editable": True}}, "pip install -e '/[train]'"),
        ({"url": "file:///not/there/any/more", "dir_info": {}}, "pip install 'inkdigit[train]'"),
        ({"url": "https://h/r", "vcs_info": {"vcs": "git"}}, "pip install 'inkdigit[train] @ git+https://h/r'"),
        (None, "pip install 'inkdigit[train]'"),
    ],
)
def test_an_extra_is_installed_from_where_the_package_came(origin, command, monkeypatch):
    stored = SimpleNamespace(read_text=lambda _: None if origin is None else json.dumps(origin))
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: stored)
    assert errors.pip_install("train") == command


def test_an_error_keeps_what_a_caller_asks_for():
    malformed = errors.MalformedFile("a.csv", "it is empty", where="row 1")
    assert (malformed.path.name, malformed.where, malformed.kind) == ("a.csv", "row 1", "MalformedFile")
    assert errors.MissingExtra("Training needs PyTorch", "train").extra == "train"
    assert errors.NotAPicture("No image").problem == "No image"


def test_the_kind_is_the_name_of_the_class():
    two_words = (errors.MissingExtra, errors.MalformedFile)
    made = [error("a", "b") if error in two_words else error("a") for error in CLASSES]
    assert [error.kind for error in made] == [error.__name__ for error in CLASSES]
    assert made[0].to_json() == {"error": str(made[0]), "kind": made[0].kind}


def test_whatever_is_quoted_an_error_is_one_short_line_of_text():
    for words in ("two\nlines", "\x1b[31mred", "a\0b", "\u202eback", "half \ud800", "x" * 100_000, "\r" * 500):
        text = str(InkdigitError(words, expected=words, received=words, hint=words))
        assert text.isprintable(), ascii(words[:20])
        assert len(text) < 3_500, ascii(words[:20])
        text.encode()


def test_what_is_quoted_in_full_is_not_touched():
    assert str(InkdigitError("Größe 5 × 3 …", received="'7'")) == "Größe 5 × 3 …. Received: '7'."


@pytest.mark.parametrize("bad", [[], [0], [2], [0, 1, 2], [1, 3]])
def test_errors_take_their_places_among_the_answers(bad):
    places = range(4)
    errors_at = {i: PictureError(f"image {i} is broken") for i in bad}
    answers = [f"answer {i}" for i in places if i not in bad]
    assert list(interleave(answers, errors_at)) == [errors_at.get(i, f"answer {i}") for i in places]
