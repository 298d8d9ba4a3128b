"""The wheel and the sdist: built, compared, and looked into.

In: the checkout. Out: `dist/`, or what is wrong with it.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from release.environment import ROOT, CheckFailed, run, tool

DIST = ROOT / "dist"
SOURCE = ROOT / "src" / "inkdigit"
MAX_WHEEL_BYTES = 10_000_000
IN_SDIST = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "THIRD_PARTY.md",
    "CHANGELOG.md",
    "CITATION.cff",
    "constraints.txt",
)
NEVER = re.compile(r"__pycache__|\.pyc$|\.egg-info|\.DS_Store|~$")


def build(scratch: Path) -> Path:
    """Build both into `dist/`, the wheel once from the checkout and once from the sdist: they must be the same.

    Raises:
        CheckFailed: they cannot be built, or differ.
    """
    shutil.rmtree(DIST, ignore_errors=True)
    run([tool("uv"), "build", "--quiet", "--out-dir", DIST, ROOT])  # the sdist, and the wheel from it
    run([tool("uv"), "build", "--quiet", "--wheel", "--out-dir", scratch / "direct", ROOT])
    (wheel,), (direct,) = DIST.glob("*.whl"), (scratch / "direct").glob("*.whl")
    if wheel.read_bytes() != direct.read_bytes():
        raise CheckFailed(f"The sdist builds another wheel than the checkout: compare {wheel} and {direct}.")
    return wheel


def sdist() -> Path:
    """The sdist in `dist/`."""
    (path,) = DIST.glob("*.tar.gz")
    return path


def metadata(wheel: Path) -> Message:
    """The metadata of a wheel; its text is the long description."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def dead_links(text: str) -> list[str]:
    """The links and pictures of a Markdown text that lead to files beside it: a package index has none."""
    targets = re.findall(r"\]\(([^)\s]+)|(?:href|src|srcset)=\"([^\"]+)", text)
    return [target for target in (a or b for a, b in targets) if not re.match(r"https?:|#", target)]


def check_metadata(wheel: Path, version: str) -> str:
    """The text and the version that a package index shows.

    Raises:
        CheckFailed: the text cannot be shown, has a dead link, or the version is another one.
    """
    run([tool("twine"), "check", "--strict", wheel, sdist()])
    about = metadata(wheel)
    text = about.get_payload(decode=True)
    assert isinstance(text, bytes)
    if dead := dead_links(text.decode()):
        raise CheckFailed(f"The text for package indexes has links to files that are not there: {', '.join(dead)}.")
    if about["Version"] != version:
        raise CheckFailed(f"The wheel has another version. Expected: {version}. Received: {about['Version']}.")
    return f"{about['Name']} {version}, {len(text):,} characters of text"


def check_contents(wheel: Path) -> str:
    """What is in the wheel and the sdist, and how large the wheel is.

    Raises:
        CheckFailed: a file is missing or should not be there, or the wheel is too large.
    """
    expected = {
        f"inkdigit/{path.relative_to(SOURCE).as_posix()}"
        for path in SOURCE.rglob("*")
        if path.is_file() and not NEVER.search(path.as_posix())
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = {Path(name).name for name in archive.namelist() if ".dist-info/licenses/" in name}
    if names != expected:
        raise CheckFailed(f"The wheel holds other files than the package: {', '.join(sorted(names ^ expected)[:10])}.")
    if licences != {"LICENSE", "THIRD_PARTY.md"}:
        raise CheckFailed(f"The wheel holds other licences. Received: {', '.join(sorted(licences))}.")
    if (size := wheel.stat().st_size) > MAX_WHEEL_BYTES:
        raise CheckFailed(f"The wheel is too large. Expected: {MAX_WHEEL_BYTES:,} bytes at most. Received: {size:,}.")
    packed = _check_sdist()
    return f"wheel {size / 1e6:.1f} MB, {len(names)} files; sdist {packed / 1e6:.1f} MB"


def _check_sdist() -> int:
    with tarfile.open(sdist()) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    missing = [name for name in (*IN_SDIST, "src/inkdigit/__init__.py", "tests/conftest.py") if name not in names]
    if missing or (extra := [name for name in names if NEVER.search(name)]):
        raise CheckFailed(
            f"The sdist is wrong. Missing: {missing or 'nothing'}. Not wanted: {[] if missing else extra}."
        )
    return sdist().stat().st_size
