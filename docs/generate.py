"""Write the pages that quote the code: recipes, commands, errors and the HTTP API.

Run `python docs/generate.py` after a change of any of these; with `--check` nothing is written and the exit code says
whether the pages are what the code says.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pages import commands, errors, http, recipes

DOCS = Path(__file__).parent
FOLDER = DOCS / "commands"  # holds generated pages only


def main() -> int:
    """Write the pages, or check them."""
    check = "--check" in sys.argv
    made = {DOCS / name: text for kind in (recipes, commands, errors, http) for name, text in kind.pages().items()}
    stale = [page for page, text in made.items() if not page.exists() or page.read_text(encoding="utf-8") != text]
    gone = [page for page in FOLDER.glob("*.md") if page not in made]
    if not check:
        FOLDER.mkdir(exist_ok=True)
        for page in stale:
            page.write_text(made[page], encoding="utf-8")
        for page in gone:
            page.unlink()
    names = ", ".join(str(page.relative_to(DOCS)) for page in [*stale, *gone])
    print(f"{names}: {'stale' if check else 'written'}" if names else "up to date")
    return int(check and bool(names))


if __name__ == "__main__":
    sys.exit(main())
