"""Draw what a terminal shows of a few commands, for docs/guides/install.md: `python docs/terminal.py`.

In: the commands, which are run here. Out: `docs/pictures/install-light.svg` and `-dark.svg`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
COLUMNS = 82  # the longest command in one line
COMMANDS = (
    ["inkdigit", "predict", "examples/7-pen-on-paper.png", "examples/3-chalk-on-board.png"],
    ["inkdigit", "read", "examples/numbers/date.png"],
)


def printed(words: list[str]) -> str:
    """What a command prints in the root of the sources."""
    command = [sys.executable, "-m", *words]
    env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, encoding="utf-8", check=True)
    return done.stdout


def main() -> None:
    """Run the commands, and draw the terminal in both themes."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for words in COMMANDS:
        console.print(Text("> ", "bold green") + Text(" ".join(words), "bold"))
        console.print(Text(printed(words).rstrip()))
        console.print()
    PICTURES.mkdir(exist_ok=True)
    for name, theme in (("light", DEFAULT_TERMINAL_THEME), ("dark", SVG_EXPORT_THEME)):
        # The same names in each export, so that it differs only where the text does.
        svg = console.export_svg(title="inkdigit", theme=theme, clear=False, unique_id="terminal")
        svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # they would ask another host
        svg = "\n".join(line.rstrip() for line in svg.splitlines() if line.strip())
        (PICTURES / f"install-{name}.svg").write_text(f"{svg}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
