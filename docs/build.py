"""Build the documentation site into `site/`; `make docs` runs this.

    docs/, pages of names, files that pages link to → a folder aside → MkDocs, with every warning an error → site/

The folder aside holds nothing but Markdown and files, so another builder that reads `mkdocs.yml` can be given it:
`python docs/build.py --stage FOLDER` writes only that.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path

from pages import names, stage

ROOT = Path(__file__).parents[1]
os.environ.setdefault("NO_MKDOCS_2_WARNING", "1")  # what Material prints about a MkDocs that is not installed


def build(site: Path) -> None:
    """Build the site into the folder `site`; after a warning this ends the process with exit code 1."""
    from mkdocs.commands.build import build as mkdocs_build
    from mkdocs.config import load_config

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    with tempfile.TemporaryDirectory() as folder:
        stage.write(Path(folder))
        config = load_config(str(ROOT / "mkdocs.yml"), docs_dir=folder, site_dir=str(site), strict=True)
        config.nav = with_names(config.nav)
        config.plugins.on_startup(command="build", dirty=False)
        mkdocs_build(config)
        config.plugins.on_shutdown()


def with_names(nav: list[object]) -> list[object]:
    """The navigation with the pages of names and commands, where `mkdocs.yml` has their folder."""
    found: list[object] = []
    for entry in nav:
        if isinstance(entry, dict):
            found.append({key: with_names(item) if isinstance(item, list) else item for key, item in entry.items()})
        elif entry == "api/":
            found += names.nav()
        elif entry == "commands/":
            pages = sorted((ROOT / "docs" / "commands").glob("*.md"))
            found += [{page.stem.replace("-", " "): f"commands/{page.name}"} for page in pages]
        else:
            found.append(entry)
    return found


def main() -> int:
    """Build the site, or only write what it is built of."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--site", type=Path, default=ROOT / "site", help="the folder to write (default: site)")
    parser.add_argument("--stage", type=Path, help="only write the Markdown that the site is built of to this folder")
    args = parser.parse_args()
    if args.stage:
        stage.write(args.stage)
    else:
        build(args.site)
        print(f"Open {args.site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
