"""`errors.md`: the tree of errors with the exit code and the HTTP status of each."""

from __future__ import annotations

from collections.abc import Iterator

from pages.tables import sentence, table

WORDS = {0: "success", 1: "a bug; or, where a command says so, a check that failed", 130: "stopped by Ctrl-C"}


def exit_codes() -> str:
    """What each exit code says: those of the tree, and the others."""
    from inkdigit.errors import InkdigitError

    words = WORDS | {
        branch.exit_code: str(branch.__doc__).splitlines()[0].rstrip(".").lower()
        for branch in InkdigitError.__subclasses__()
    }
    return table(["code", "meaning"], [[code, words[code]] for code in sorted(words)])


def pages() -> dict[str, str]:
    """The page by its name."""
    from inkdigit.errors import InkdigitError

    parts = [
        "# Errors",
        "Whatever goes wrong on purpose is an `inkdigit.InkdigitError`, of a class that says what kind. Its text names "
        "the problem, what was expected and received, and the next step. In Python it is raised; a command prints it "
        "as one line and ends with the exit code; the service answers with JSON and the status.",
        "```text\nError: There is no model 'best9'. Expected: a bundled model (best, fast, general,\ntiny), a run or "
        "its name, or an .onnx file. Did you mean best?\n```",
        "All classes are in `inkdigit.errors`. A class has the codes of the one that it is indented below, unless it "
        "has its own.",
        "## Classes",
        table(
            ["class", "meaning", "exit code", "HTTP status"],
            [
                [
                    "&emsp;" * depth + f"`{kind.__name__}`",
                    sentence(str(kind.__doc__).split("\n\n")[0]),
                    kind.exit_code,
                    kind.http_status,
                ]
                for depth, kind in tree(InkdigitError)
            ],
        ),
        "## Exit codes",
        exit_codes(),
    ]
    return {"errors.md": "\n\n".join(parts) + "\n"}


def tree(kind: type, depth: int = 0) -> Iterator[tuple[int, type]]:
    """A class and those that inherit from it, each with its depth, as far as `inkdigit.errors` has them."""
    yield depth, kind
    for below in kind.__subclasses__():
        if below.__module__ == "inkdigit.errors":
            yield from tree(below, depth + 1)
