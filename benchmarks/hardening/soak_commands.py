"""Commands of Inkdigit as processes of their own: ended, killed at a moment, two at once; and the results of a drill.

In: the words of a command line. Out: how it ended and its messages. Every command is the leader of a process group, so
that a kill reaches its workers too, and trains on one thread, so that weights can be compared bit for bit.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

COMMAND = (sys.executable, "-m", "inkdigit")
PATIENCE_S = 600.0  # longer means that it hangs: no command takes a minute on a quiet machine
LOOK_S = 0.001  # between two looks at the files of a command that is to be killed
GONE_S = 2.0  # for the workers of a killed command to be gone
KILLED = -signal.SIGKILL
FULL = 9  # the exit code of a result that cannot be written
NOISE = ("Traceback (most recent call last)", "Exception ignored in", "resource_tracker:")


@dataclass
class Drill:
    """The results of one drill: `n` kills, full disks or pairs, and how many left all files as they should be."""

    name: str
    deadline: float = float("inf")  # of `time.monotonic`: nothing new begins after it
    n: int = 0
    resumed: int = 0  # the next command continued, or said in one line what to do
    intact: int = 0  # every file was absent, the old one or a complete one
    phases: Counter[str] = field(default_factory=Counter)  # what was under way at the moment of the kills
    counts: Counter[str] = field(default_factory=Counter)  # further numbers
    leftovers: int = 0  # files under temporary names that kills left
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def in_time(self) -> bool:
        """Whether something new may begin."""
        return time.monotonic() < self.deadline

    def check(self, problem: str | Sequence[str] | None, *, where: str) -> bool:
        """Note the problems, if there are any; return whether there are none."""
        problems = [problem] if isinstance(problem, str) else list(problem or [])
        self.failures += [f"{where}: {text}" for text in problems]
        return not problems

    def to_json(self) -> dict[str, Any]:
        """The drill as JSON types; fields that do not apply are left out."""
        more = {"phases": dict(self.phases), "left_aside": self.leftovers} if self.phases else {}
        return {
            "drill": self.name,
            "n": self.n,
            "resumed": self.resumed,
            "whole": self.intact,
            **more,
            **self.counts,
            "seconds": round(self.seconds, 1),
            "failures": self.failures,
        }


@dataclass(frozen=True)
class Ended:
    """A command that has ended: its exit code, negative for a signal, None if it never ended."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float

    @property
    def last(self) -> str:
        """Its last line on stderr."""
        return next((line for line in reversed(self.err.splitlines()) if line.strip()), "")

    def __str__(self) -> str:
        """The command and its end in a few words."""
        end = "never ended" if self.code is None else f"exit code {self.code}"
        return f"`inkdigit {' '.join(self.words)}`, {end}: {self.last[:300]}"


@dataclass(frozen=True)
class Running:
    """A running command."""

    words: tuple[str, ...]
    process: subprocess.Popen[bytes]
    began: float

    def is_over(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.poll() is not None

    def kill(self) -> None:
        """Kill it and all that it started, and wait until they are gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until = time.monotonic() + GONE_S
        with suppress(ProcessLookupError, PermissionError):
            while time.monotonic() < until:
                os.killpg(self.process.pid, 0)
                time.sleep(LOOK_S)

    def end(self) -> Ended:
        """Wait for its end, and kill it if it does not end."""
        code: int | None
        try:
            out, err = self.process.communicate(timeout=PATIENCE_S)
            code = self.process.returncode
        except subprocess.TimeoutExpired:
            self.kill()
            (out, err), code = self.process.communicate(), None
        stdout, stderr = ((text or b"").decode(errors="replace") for text in (out, err))
        return Ended(self.words, code, stdout, stderr, time.monotonic() - self.began)


@dataclass(frozen=True)
class Moment:
    """When a command is killed: a share of the usual time of a phase, after that phase began."""

    phase: str
    share: float


def start(
    words: Sequence[str | Path],
    *,
    cwd: Path,
    program: Sequence[str] = COMMAND,
    stdout: int | IO[bytes] = subprocess.PIPE,
    limit: int | None = None,
    more: Mapping[str, str] | None = None,
) -> Running:
    """Start a command of `program`.

    `limit` is how large its files may become, in bytes; `more` are further environment variables.
    """
    began = time.monotonic()
    process = subprocess.Popen(
        [*program, *map(str, words)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(more or {})},
        start_new_session=True,
    )
    if limit is not None:  # it takes longer to start than this takes
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    return Running(tuple(map(str, words)), process, began)


def run(words: Sequence[str | Path], *, cwd: Path, program: Sequence[str] = COMMAND, limit: int | None = None) -> Ended:
    """Run a command to its end."""
    return start(words, cwd=cwd, program=program, limit=limit).end()


def must(words: Sequence[str | Path], *, cwd: Path) -> Ended:
    """Run a command that the drills need.

    Raises:
        RuntimeError: it fails.
    """
    ended = run(words, cwd=cwd)
    if ended.code != 0:
        raise RuntimeError(f"The drills cannot begin: {ended}\n{ended.err}")
    return ended


def watch(words: Sequence[str | Path], *, cwd: Path, phase: Callable[[], str]) -> tuple[Ended, dict[str, float]]:
    """Run a command to its end; return also how many seconds it spent in each phase."""
    running = start(words, cwd=cwd)
    took: dict[str, float] = {}
    before = time.monotonic()
    while not running.is_over():
        time.sleep(LOOK_S)
        now = time.monotonic()
        name = phase()
        took[name], before = took.get(name, 0.0) + now - before, now
    return running.end(), took


def strike(
    words: Sequence[str | Path],
    moment: Moment,
    *,
    cwd: Path,
    phase: Callable[[], str],
    phases: Sequence[str],
    usual: Mapping[str, float],
    program: Sequence[str] = COMMAND,
) -> Ended:
    """Kill a command at a moment; `phases` is their order. A command that ends before that ended by itself."""
    running = start(words, cwd=cwd, program=program)
    while phases.index(phase()) < phases.index(moment.phase) and not running.is_over():
        time.sleep(LOOK_S)
    until = time.monotonic() + moment.share * usual.get(moment.phase, 0.0)
    while time.monotonic() < until and not running.is_over():
        time.sleep(LOOK_S)
    if not running.is_over():
        running.kill()
    return running.end()


def together(*commands: Sequence[str | Path], cwd: Path) -> list[Ended]:
    """Run commands at the same time, to their end."""
    running = [start(words, cwd=cwd) for words in commands]
    return [command.end() for command in running]


def check_refusal(ended: Ended, *, codes: Collection[int]) -> str | None:
    """The problem with a command that should fail with one of `codes` and one last line; None without a problem."""
    errors = [line for line in ended.err.splitlines() if line.startswith("Error: ")]
    if ended.code not in codes:
        return f"{ended}; expected exit code {' or '.join(map(str, sorted(codes)))}"
    if noise := next((noise for noise in NOISE if noise in ended.err), None):
        return f"{ended}; it says {noise!r}"
    if len(errors) != 1 or ended.last != errors[0]:
        return f"{ended}; expected one line that says Error, received {len(errors)}"
    return None


def check_success(ended: Ended) -> str | None:
    """The problem with a command that should succeed; None without a problem."""
    return None if ended.code == 0 and not any(noise in ended.err for noise in NOISE) else str(ended)
