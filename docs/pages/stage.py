"""What the site is built of: the pages of docs/, changed where a site needs more than a folder of Markdown.

In: docs/ and the files that its pages link to. Out: a folder with all of them, in which

- links that leave docs/ lead to copies: a page for Markdown, a script or a notebook, else the file itself
- `inkdigit.train` and `inkdigit train` in backticks are links to the pages of the name and the command
- a <picture> for two themes is two pictures, since the theme of the site has a switch
- each picture is a link to its file, which opens in full size
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
from functools import cache
from pathlib import Path

from pages import names

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
OUTSIDE = "repository"  # holds copies of what pages link to outside of docs/
ICON = ROOT / "src" / "inkdigit" / "serve" / "web" / "icon.svg"
INDEXES = ("README.md", "index.md")  # what a link to a folder means
ALWAYS = ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")  # in the navigation, whether a page links to them or not

FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)\s]*)?(\))")
CODE = re.compile(r"(?<![`\[])`(inkdigit[ .][^`\n]+)`(?![`\]])")
THEMES = re.compile(r'<picture><source [^>]*srcset="([^"]+)"><img alt="([^"]*)" src="([^"]+)"></picture>')
PICTURE = re.compile(r"(?<!\[)!\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".sh": "sh",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".conf": "nginx",
    "": "text",
}


def write(folder: Path) -> None:
    """Write everything that the site is built of."""
    shutil.copytree(DOCS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "theme").mkdir(exist_ok=True)
    shutil.copyfile(ICON, folder / "theme" / "icon.svg")
    for name, text in names.pages().items():
        _write(folder / name, text)
    waiting = [ROOT / name for name in ALWAYS if (ROOT / name).exists()]
    for page in sorted(DOCS.rglob("*.md")):
        text, linked = rewritten(page.read_text(encoding="utf-8"), page)
        _write(folder / page.relative_to(DOCS), text)
        waiting += linked
    done: set[Path] = set()
    while waiting:
        source = waiting.pop()
        if source not in done:
            done.add(source)
            waiting += copy(source, folder)


def copy(source: Path, folder: Path) -> list[Path]:
    """Copy a file of the repository to its place in the site, as a page if it is a text to read; what it links to."""
    if source.suffix == ".md":
        text, linked = rewritten(source.read_text(encoding="utf-8"), source)
        _write(folder / page_of(source), text)
        return linked
    _copy_file(source, folder)
    if source.suffix == ".ipynb":
        _write(folder / page_of(source), notebook(source))
    elif page_of(source) != place_of(source):
        language = LANGUAGES[source.suffix]
        code = source.read_text(encoding="utf-8").rstrip()
        _write(folder / page_of(source), _as_page(source, f"````{language}\n{code}\n````"))
    return []


def rewritten(text: str, page: Path) -> tuple[str, list[Path]]:
    """The text of a page for the site, and the files outside of docs/ that it links to."""
    linked: list[Path] = []
    here = posixpath.dirname(page_of(page))

    def follow(match: re.Match[str]) -> str:
        opening, link, heading, closing = match.groups()
        if "://" in link or link.startswith(("mailto:", "<")):
            return match[0]
        target = (page.parent / link).resolve()
        if target.is_dir():
            target = next((index for name in INDEXES if (index := target / name).exists()), target)
        if not target.is_file():
            return match[0]  # a dead link: the builder says so
        if not target.is_relative_to(DOCS):
            linked.append(target)
        return f"{opening}{posixpath.relpath(page_of(target), here or '.')}{heading or ''}{closing}"

    lines, fenced = [], ""
    for line in text.splitlines():
        mark = FENCE.match(line)
        if mark and (not fenced or mark[1].startswith(fenced)):
            fenced = "" if fenced else mark[1]
        elif not fenced and not line.startswith("    "):
            line = THEMES.sub(r"![\2](\3#only-light)![\2](\1#only-dark)", LINK.sub(follow, line))
            line = PICTURE.sub(r"[![\1](\2\3)](\2){ .picture }", line)
            line = line if line.startswith("#") else CODE.sub(lambda match: linked_code(match[1], here), line)
        lines.append(line)
    return "\n".join(lines) + "\n", linked


def linked_code(code: str, here: str) -> str:
    """Code that begins with a name or a command of ours, as a link to its page; other code as it is."""
    if name := re.match(r"inkdigit\.(\w+(?:\.\w+)*)", code):
        path = name[1]
        while path:
            if path in documented():
                return f"[`{code}`][inkdigit.{path}]"
            path = path.rpartition(".")[0]
    words = re.match(r"inkdigit ([a-z-]+)(?: ([a-z]+))?", code)
    for name in (f"{words[1]}-{words[2]}", words[1]) if words else ():
        if (DOCS / "commands" / f"{name}.md").exists():
            return f"[`{code}`]({posixpath.relpath(f'commands/{name}.md', here or '.')})"
    return f"`{code}`"


@cache
def documented() -> set[str]:
    """Every name that has a place on the pages of names: those of the pages, and the methods of classes."""
    import griffe

    package = griffe.load("inkdigit", search_paths=[str(ROOT / "src")])
    found = set()
    for path in [name for group in names.GROUPS.values() for page in group for name in page] + list(names.TYPES):
        found.add(path)
        members = package[path].members.items() if package[path].is_class else ()
        found |= {f"{path}.{name}" for name, member in members if not name.startswith("_") and member.has_docstring}
    return found


def place_of(source: Path) -> str:
    """Where a file is in the site's folder."""
    if source.is_relative_to(DOCS):
        return source.relative_to(DOCS).as_posix()
    return f"{OUTSIDE}/{source.relative_to(ROOT).as_posix()}"


def page_of(source: Path) -> str:
    """Where the page of a file is: of scripts and notebooks beside the file, of other files the file itself."""
    place = place_of(source)
    code = source.suffix in LANGUAGES or source.suffix == ".ipynb"
    return f"{place}.md" if code and not source.is_relative_to(DOCS) else place


def notebook(source: Path) -> str:
    """A notebook as a page: its texts, its code, and what the code printed and showed."""
    parts = []
    for cell in json.loads(source.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        parts += [part for output in cell["outputs"] if (part := _shown(output))]
    title, *rest = parts[0].split("\n", 1)
    return "\n\n".join([title, _download(source), *rest, *parts[1:]]) + "\n"


def _shown(output: dict[str, object]) -> str:
    """One output of a cell: a page's HTML, a picture, or text."""
    data = output.get("data", {})
    assert isinstance(data, dict)
    if html := "".join(data.get("text/html", "")):
        return f'<div class="notebook-output">{" ".join(html.split())}</div>'
    if png := "".join(data.get("image/png", "")).replace("\n", ""):
        return f'<img alt="What the cell shows" src="data:image/png;base64,{png}">'
    text = "".join(data.get("text/plain", output.get("text", "")))  # type: ignore[arg-type]
    return f"```text\n{text.rstrip()}\n```" if text.strip() else ""


def _as_page(source: Path, body: str) -> str:
    """A page with the text of a file, which the search leaves out."""
    title = f"# {source.relative_to(ROOT).as_posix()}"
    return "\n\n".join(["---\nsearch:\n  exclude: true\n---", title, _download(source), body]) + "\n"


def _download(source: Path) -> str:
    return f"[Download the file]({source.name}){{ download }}"


def _copy_file(source: Path, folder: Path) -> None:
    target = folder / place_of(source)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
