"""A fresh environment of Python that holds nothing but what was installed into it, and a folder to work in.

In: a folder, a version of Python, requirements. Out: what commands print. Nothing of the checkout is on its path.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 300.0
LEFT_OUT = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "INKDIGIT_DATA",
)  # variables that would lead to other code or data


class CheckFailed(Exception):
    """A step of the check found something wrong; the message says what."""


def run(words: Sequence[str | Path], *, cwd: Path = ROOT, exit_code: int = 0, timeout_s: float = TIMEOUT_S) -> str:
    """What a command prints to stdout.

    Raises:
        CheckFailed: it ended with another exit code than `exit_code`, or not in time.
    """
    variables = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    variables |= {"UV_PYTHON_DOWNLOADS": "never", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
    shown = " ".join(map(str, words))
    try:
        done = subprocess.run(
            list(map(str, words)),
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise CheckFailed(f"{shown}\nExpected: an end within {timeout_s:.0f} s.") from exc
    if done.returncode != exit_code:
        printed = "\n".join((done.stdout + done.stderr).strip().splitlines()[-40:])
        raise CheckFailed(f"{shown}\nExpected: exit code {exit_code}. Received: {done.returncode}.\n{printed}")
    return done.stdout


def tool(name: str) -> Path:
    """A program of the environment that runs the check (release/requirements.txt)."""
    return Path(sys.executable).parent / name


@dataclass(frozen=True)
class Environment:
    """Python and what is installed for it, in `folder`; commands run in `work`, which has copies of the examples."""

    folder: Path
    work: Path

    @classmethod
    def make(cls, folder: Path, *, python: str, work: Path, pip: bool = False) -> Environment:
        """An empty environment of a version of Python; with `pip` in it, if that is wanted."""
        run([tool("uv"), "venv", "--quiet", *(["--seed"] if pip else []), "--python", python, folder])
        return cls(folder, work)

    def program(self, name: str) -> Path:
        """A program of the environment."""
        return self.folder / ("Scripts" if sys.platform == "win32" else "bin") / name

    def install(self, *words: str | Path) -> None:
        """Install what uv's `pip install` takes, and check that it fits together."""
        run([tool("uv"), "pip", "install", "--quiet", "--python", self.program("python"), *words])
        run([tool("uv"), "pip", "check", "--quiet", "--python", self.program("python")])

    def packages(self) -> dict[str, str]:
        """Name → version of what is installed."""
        lines = run([tool("uv"), "pip", "freeze", "--quiet", "--python", self.program("python")]).splitlines()
        pairs = [line.partition(" @ ") if " @ " in line else line.partition("==") for line in lines]
        return {name: version for name, _, version in pairs}

    def inkdigit(self, *words: str | Path, exit_code: int = 0) -> str:
        """What the command `inkdigit` of this environment prints."""
        return run([self.program("inkdigit"), *words], cwd=self.work, exit_code=exit_code)

    def python(self, code: str) -> str:
        """What Python of this environment prints for `code`; a warning is an error."""
        return run([self.program("python"), "-I", "-c", code], cwd=self.work)
