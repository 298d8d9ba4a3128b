"""Check a release before it is published: `make release-check`, or `python -m release.check`.

Builds the wheel and the sdist, looks into them, installs the wheel bare and with the oldest dependencies that
pyproject.toml allows, and uses both as a user would, away from the checkout. Out: `dist/` with the wheel, the sdist and
`sbom.cdx.json`, the list of what a bare installation consists of; one line a step with its seconds; exit code 1 at the
first step that fails.

The bare installation takes the versions of constraints.txt, so that the same commit gives the same result tomorrow.
`--newest` takes the newest releases instead, which is what a user gets: before a release, and to look ahead. With
`TORCH` in the environment, as make sets it, the oldest installation trains, too.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from release import files, packages, sbom, usage
from release.environment import ROOT, CheckFailed, Environment, run

OLDEST_PYTHON = "3.11"
HEAVY = (
    "torch",
    "scikit-learn",
    "polars",
    "matplotlib",
    "scipy",
    "fastapi",
    "uvicorn",
    "jinja2",
    "opencv-python-headless",
)


def step(name: str, do: Callable[[], str]) -> None:
    """Do one step, and print a line with its name, what it did and its seconds."""
    started = time.perf_counter()
    print(f"{name:<8}", end="", flush=True)
    said = do()
    print(f"{said}  {time.perf_counter() - started:.0f} s", flush=True)


def version() -> str:
    """The version of the checkout, read without importing it."""
    lines = (packages.SOURCE / "__init__.py").read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("__version__ = ")]
    return line.partition("=")[2].strip().strip('"')


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder away from the checkout, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="inkdigit-release-") as folder:
        yield Path(folder)


def bare(wheel: Path, folder: Path, *, newest: bool) -> None:
    """A bare installation: what it consists of, what it does, what the README says; then with the extra `serve`."""
    limits: list[str | Path] = [] if newest else ["--constraint", ROOT / "constraints.txt"]
    (folder / "bare").mkdir()
    usage.examples(folder / "bare")
    env = Environment.make(folder / "bare-env", python=sys.executable, work=folder / "bare")
    step("bare", lambda: (env.install(wheel, *limits), f"installed for Python {_python(env)}")[1])
    step("", lambda: usage.is_bare(env, without=HEAVY))
    step("", lambda: usage.answers(env, version()))
    step("", lambda: usage.readme(env))
    step("", lambda: sbom.write(env, packages.DIST / "sbom.cdx.json"))
    step("", lambda: (env.install(f"inkdigit[serve] @ {wheel.as_uri()}", *limits), "with the extra serve")[1])
    step("", lambda: usage.serves(env))


def oldest(wheel: Path, folder: Path, *, torch: str | None) -> None:
    """The oldest releases that pyproject.toml allows, on the oldest Python: answers, service, pages, a training."""
    (folder / "oldest").mkdir()
    usage.examples(folder / "oldest")
    env = Environment.make(folder / "oldest-env", python=OLDEST_PYTHON, work=folder / "oldest", pip=torch is not None)
    step("oldest", lambda: _install_oldest(env, wheel, torch=torch))
    step("", lambda: usage.answers(env, version()))
    step("", lambda: usage.readme(env))
    step("", lambda: usage.serves(env))
    step("", lambda: usage.reports(env))
    if torch is not None:
        step("", lambda: usage.trains(env))


def _install_oldest(env: Environment, wheel: Path, *, torch: str | None) -> str:
    """PyTorch is the one that `TORCH` names: its builds lie in places that only pip's settings know."""
    extras, limits = ["serve", "report"], env.folder / "torch.txt"
    limits.touch()
    if torch is not None:
        extras.append("train")
        run([env.program("python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *shlex.split(torch)])
        code = "from importlib.metadata import version; print('torch==' + version('torch'))"
        limits.write_text(env.python(code), encoding="utf-8")
    names = [word for extra in extras for word in ("--extra", extra)]
    oldest = ("--resolution", "lowest-direct", "-r", ROOT / "pyproject.toml", *names, "--constraint", limits)
    env.install(*oldest, wheel)
    return f"installed for Python {_python(env)}: {', '.join(['the base', *extras])}"


def _python(env: Environment) -> str:
    return env.python("import platform; print(platform.python_version())").strip()


def main(argv: Sequence[str] | None = None) -> int:
    """Every step in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--newest", action="store_true", help="the newest dependencies, not those of constraints.txt")
    options = parser.parse_args(argv)
    started = time.perf_counter()
    try:
        with scratch() as folder:
            step("files", files.check)
            built: list[Path] = []
            step(
                "build",
                lambda: (built.append(packages.build(folder)), "wheel and sdist; the sdist builds the same wheel")[1],
            )
            (wheel,) = built
            step("", lambda: packages.check_metadata(wheel, version()))
            step("", lambda: packages.check_contents(wheel))
            bare(wheel, folder, newest=options.newest)
            oldest(wheel, folder, torch=os.environ.get("TORCH"))
    except CheckFailed as exc:
        print(f"FAILED\n{exc}", flush=True)
        return 1
    print(f"Ready: {packages.DIST}, checked in {time.perf_counter() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
