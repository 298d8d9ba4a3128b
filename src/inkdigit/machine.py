"""The machine: its processor, its load, names of devices, and the time and memory of a command in a fresh process.

In: a command. Out: wall time and peak memory, as the operating system counts them. The peak of a process includes that
of its parent, so commands are started from a small one, `python -m inkdigit.machine`: NumPy is not imported here.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from inkdigit.errors import UsageError

# -P: a file of the current folder with the name of a library must not be taken for it.
PYTHON = (sys.executable, "-P")
DEVICES = ("auto", "cpu", "cuda", "mps")  # where a training may compute; what they mean is in `training.device`
DEVICE_NAMES = f"{', '.join(DEVICES[:-1])} or {DEVICES[-1]}"
PEAK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes: the unit of ru_maxrss


@dataclass(frozen=True, slots=True)
class Sample:
    """The time and memory of one process, from before its start to after its end."""

    wall_s: float
    peak_mb: float | None  # 10^6 bytes, resident; None on Windows, which does not report it


def check_device(name: str) -> None:
    """Check that `name` is one of `DEVICES`; whether the machine has it, only PyTorch knows.

    Raises:
        UsageError: it is not.
    """
    if name not in DEVICES:
        raise UsageError(f"Unknown device {name!r}", expected=DEVICE_NAMES)


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The name of the processor and the number of its threads, as far as the system reports them in `cpuinfo`."""
    import platform

    unknown = platform.processor() or platform.machine()
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return unknown
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads" if names else unknown


def cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """The number of processor cores that this process may use: those of a container where `quota` limits it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        microseconds, period = map(int, quota.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such file, or "max"
        return usable
    return max(1, min(usable, -(-microseconds // period)))


def load() -> float | None:
    """The mean number of processes that waited for a core in the last minute; None if the system does not report it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def time_process(command: Sequence[str]) -> Sample:
    """Run a command once, and ignore its output.

    Raises:
        CalledProcessError: the command failed; `stderr` holds its message.
    """
    import subprocess  # only measuring needs it

    done = subprocess.run(
        [*PYTHON, "-m", "inkdigit.machine", *command],
        capture_output=True,
        check=True,
        encoding="utf-8",
        errors="replace",
    )
    return Sample(**json.loads(done.stdout))


def main() -> None:
    """Run the command of the arguments; write its `Sample`, or end with its exit code."""
    import subprocess

    began = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    peak_mb = None
    if sys.platform == "win32":
        process.wait()
    else:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = usage.ru_maxrss * PEAK_UNIT / 1e6
    wall_s = time.perf_counter() - began
    if process.returncode:
        sys.exit(process.returncode if process.returncode > 0 else 1)  # below 0: a signal ended it
    sys.stdout.write(json.dumps(asdict(Sample(wall_s, peak_mb))))


if __name__ == "__main__":
    main()
