"""The machine that measures, the code that is measured, and how one script starts another.

In: nothing. Out: plain JSON types. Imports no NumPy: the peak memory of a child process starts at that of its parent.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from inkdigit import machine

ROOT = Path(__file__).resolve().parents[2]
INKDIGIT = Path(sys.executable).with_name("inkdigit")
BUSY = 0.5  # waiting processes in the last minute: more, and times are not to be trusted


def describe(libraries: Sequence[str]) -> dict[str, Any]:
    """Machine, versions of `libraries`, commit and date of a measurement that begins now."""
    load = None if (waiting := machine.load()) is None else round(waiting, 2)
    if load is not None and load > BUSY:
        print(f"The machine is busy (load {load}): the times will be too long.", file=sys.stderr)
    return {
        "date": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
        "commit": _commit(),
        "machine": {
            "processor": _processor(),
            "cores": machine.cores(),
            "memory_gb": _memory_gb(),
            "platform": f"{platform.system()} {'.'.join(platform.release().split('.')[:2])} {platform.machine()}",
            "load_before": load,
        },
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in libraries}},
    }


def script(module: str, *words: object) -> list[str]:
    """The command that runs another of these scripts, `speed.curve` or so; give it `environment()`."""
    return [sys.executable, "-m", f"benchmarks.{module}", *map(str, words)]


def environment() -> dict[str, str]:
    """The environment of a script that another one starts: it finds `benchmarks` whatever folder it runs in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}


def _memory_gb() -> float | None:
    """The memory of the machine; None on Windows, whose systems Python does not ask."""
    if sys.platform == "win32":
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the code that is measured, with a `+` if src/ or the scripts hold changes beyond it."""
    git = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, encoding="utf-8", check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "src", "benchmarks/*.py"], capture_output=True, encoding="utf-8", check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
