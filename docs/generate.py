"""Write the pages that quote the code: `docs/recipes.md` and `docs/command-line.md`.

Run `python docs/generate.py` after a change of a recipe field or a command; with `--check` nothing is written and the
exit code says whether the pages are what the code says.
"""

from __future__ import annotations

import inspect
import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent

os.environ |= {"TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}


def recipes() -> str:
    """Every recipe field with its default and meaning, and the bundled recipes."""
    from inkdigit.training import recipe

    source = inspect.getsource(recipe.Recipe)
    fields = source[source.index("    name: str") : source.index("    @model_validator")]
    lines = [line.removeprefix("    ") for line in fields.rstrip().splitlines()]
    parts = [
        "# Recipes",
        "A recipe is a flat TOML file; what it leaves out has the default below. `inkdigit train NAME --set key=value` "
        "changes single fields, and every run directory holds the `recipe.toml` that repeats it.",
        "## Every field",
        "```python\n" + "\n".join(lines) + "\n```",
        "## The bundled recipes",
        *(
            f"### `{name}`\n\n```toml\n{path.read_text(encoding='utf-8').strip()}\n```"
            for name, path in recipe.bundled().items()
        ),
    ]
    return "\n\n".join(parts) + "\n"


def exit_codes() -> str:
    """What each exit code says: those of the tree of errors, and the others."""
    from inkdigit.errors import InkdigitError

    words = {0: "success", 1: "a bug; or, where a command says so, a check that failed", 130: "stopped by Ctrl-C"}
    for branch in InkdigitError.__subclasses__():
        words[branch.exit_code] = str(branch.__doc__).splitlines()[0].rstrip(".").lower()
    rows = [f"| {code} | {words[code]} |" for code in sorted(words)]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def command_line() -> str:
    """The help of every command, as the terminal shows it."""
    import typer
    from typer.testing import CliRunner

    from inkdigit.cli.app import app

    def pages(group: object, words: list[str]) -> list[tuple[list[str], object]]:
        found = [(words, group)]
        for name, command in getattr(group, "commands", {}).items():
            if not command.hidden:
                found += pages(command, [*words, name])
        return found

    parts = [
        "# The command line",
        "Results go to stdout, messages and progress to stderr. The exit codes:",
        exit_codes(),
    ]
    for words, _ in pages(typer.main.get_command(app), ["inkdigit"]):
        shown = CliRunner().invoke(app, [*words[1:], "--help"], prog_name="inkdigit").stdout
        text = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
        parts.append(f"## `{' '.join(words)}`\n\n```text\n{text.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write both pages, or check them."""
    stale = []
    for name, text in (("recipes.md", recipes()), ("command-line.md", command_line())):
        page = DOCS / name
        if page.exists() and page.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
    done = "stale" if "--check" in sys.argv else "written"
    print(f"{', '.join(stale)}: {done}" if stale else "up to date")
    return int("--check" in sys.argv and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
