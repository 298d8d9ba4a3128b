"""Ten thousand inputs with something wrong in them, and what becomes of each: an answer, or one error of ours.

In: an installed `inkdigit[dev]`; a seed. Out: `results/fuzz.json`, a row a kind of input: how many were answered and
refused; tracebacks, hangs, more than 1 GB beside what importing takes, more than 2 s of processor time. Exit status 1
if there is one of those.

    python -m benchmarks.hardening.fuzz                            all of it
    python -m benchmarks.hardening.fuzz --seconds 20 --smoke       as many as go into that, of all kinds
    python -m benchmarks.hardening.fuzz --only pictures --case 17  one again, with its traceback

Each kind has a process of its own, so that one that hangs or dies is one input lost. What training takes is left out:
networks are built and take two steps on 32 pictures at the most.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import queue
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import machine, results
from benchmarks.hardening import fuzz_files, fuzz_inputs
from benchmarks.hardening.fuzz_kinds import Kind

RESULTS = "fuzz.json"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "torch", "polars", "hypothesis")
SEED = 17
KINDS: dict[str, Kind] = {**fuzz_inputs.KINDS, **fuzz_files.KINDS}
MAX_SECONDS = 2.0  # of processor time, of all threads
MAX_MB = 1_000  # beside what importing takes
AT_ONCE = 2  # processes
START_S = 180.0  # until a process has made what is good, a trained run among it
HANG_S = 30.0  # without a word, whatever else the machine does
LIMIT_BYTES = 4 * 2**30  # beside what importing takes: what asks for more is refused by the system
MAX_MESSAGE = 3_500  # characters of an error, which is one line
WARM = 8  # inputs before those that count: what is loaded for them stays loaded
SHOWN = 20  # faults of a kind, in words


@dataclass
class Row:
    """What the inputs of a kind came to."""

    n: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)  # of those that were refused
    most_s: float = 0.0
    most_mb: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def add(self, told: dict[str, Any]) -> None:
        """Count one input."""
        self.n += 1
        self.outcomes[told["outcome"]] += 1
        if told["outcome"] == "refused":
            self.errors[told["error"]] += 1
        self.most_s = max(self.most_s, told.get("seconds", 0.0))
        self.most_mb = max(self.most_mb, told.get("mb", 0.0))
        faults = [] if told["outcome"] in ("answered", "refused") else [told["outcome"]]
        faults += ["slow"] * (told.get("seconds", 0.0) > MAX_SECONDS) + ["large"] * (told.get("mb", 0.0) > MAX_MB)
        for fault in faults:
            self.outcomes[fault] += fault != told["outcome"]
            self.faults.append({**told, "fault": fault})

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        faults = {name: self.outcomes[name] for name in ("traceback", "unclear", "hang", "killed", "large", "slow")}
        return {
            "n": self.n,
            "answered": self.outcomes["answered"],
            "refused": self.outcomes["refused"],
            **faults,
            "errors": dict(sorted(self.errors.items())),
            "most_s": round(self.most_s, 2),
            "most_mb": round(self.most_mb),
        }


# In the process of a kind --------------------------------------------------------------------------------------------


def child(name: str, seed: int, first: int, count: int) -> None:
    """Try the inputs `first` … of a kind; a line of JSON for each."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        make = KINDS[name].prepare(Path(folder))
        out = os.fdopen(os.dup(1), "w")  # what is tried may print
        sys.stdout = io.StringIO()
        for number in range(WARM):
            _try(make, random.Random(f"{seed} {name} warm {number}"))
        own_mb = _peak_mb()
        _bound(LIMIT_BYTES)
        for case in range(first, first + count):
            print(json.dumps({"begins": case}), file=out, flush=True)
            told = _try(make, random.Random(f"{seed} {name} {case}"))
            told["mb"] = round(max(0.0, told["mb"] - own_mb), 1)
            print(json.dumps({"case": case, **told}), file=out, flush=True)


def _try(make: Any, rng: random.Random) -> dict[str, Any]:
    from inkdigit.errors import InkdigitError

    call = make(rng)
    _forget_peak()
    began = time.process_time()
    told: dict[str, Any]
    try:
        call()
        told = {"outcome": "answered"}
    except InkdigitError as exc:
        clear = "\n" not in str(exc) and len(str(exc)) <= MAX_MESSAGE
        told = {"outcome": "refused" if clear else "unclear", "error": exc.kind, "words": str(exc)[:300]}
    except Exception as exc:  # noqa: BLE001 - that is what is looked for
        told = {"outcome": "traceback", "error": type(exc).__name__, "words": _last_lines(exc)}
    return {**told, "seconds": round(time.process_time() - began, 3), "mb": _peak_mb()}


def _last_lines(exc: Exception) -> str:
    places = [f"{Path(at.filename).name}:{at.lineno}" for at in traceback.extract_tb(exc.__traceback__)]
    return f"{' '.join(places[-4:])} {str(exc)[:200]}"


def _bound(more: int) -> None:
    now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, now + more))


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_mb() -> float:
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1000


# In the process that asks for it -------------------------------------------------------------------------------------


def run_kind(name: str, count: int, *, seed: int, seconds: float = math.inf) -> Row:
    """Have `count` inputs of a kind tried, or as many as go into `seconds`; one that hangs its process is lost."""
    row, case, began = Row(), 0, None
    while case < count:
        for told in _lines(name, seed, case, count - case):
            began = began or time.monotonic()
            if "outcome" in told:
                row.add(told)
                case = told["case"] + 1
            if time.monotonic() > began + seconds:
                return row
    return row


def _lines(name: str, seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """What one process tells, until it is through, or silent for too long, or dead."""
    command = machine.script("hardening.fuzz", "--child", name, seed, first, count)
    with (
        tempfile.TemporaryFile("w+") as said,  # a pipe that nobody empties would stop who writes much
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True, env=machine.environment()) as process,
    ):
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(process, lines), daemon=True).start()
        begun: int | None = None
        try:
            while line := lines.get(timeout=START_S if begun is None else HANG_S):
                told = json.loads(line)
                begun = told.get("begins")
                yield told
        except queue.Empty:
            yield {"case": first if begun is None else begun, "outcome": "hang", "words": f"nothing for {HANG_S:g} s"}
            return
        finally:
            process.kill()
        if begun is None and process.wait() == 0:
            return
        said.seek(0)
        words = said.read()[-400:]
        if begun is None:
            sys.exit(f"The process of {name} does not start:\n{words}")
        yield {"case": begun, "outcome": "killed", "words": words}


def _pass_on(process: subprocess.Popen[str], lines: queue.SimpleQueue[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.put(line)
    lines.put("")


def shares(total: int, names: Iterable[str]) -> dict[str, int]:
    """How many inputs each kind gets."""
    weights = {name: KINDS[name].weight for name in names}
    return {name: math.ceil(total * weight / sum(weights.values())) for name, weight in weights.items()}


def main() -> None:
    """Try all kinds, print a line for each, write the result."""
    options = results.options(__doc__, smoke="write nothing")
    options.add_argument("--inputs", type=int, default=10_000, help="in all")
    options.add_argument("--seconds", type=float, default=math.inf, help="of trying, beside what starting takes")
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS), help="these kinds alone")
    options.add_argument("--case", type=int, help="one input of the kind, with its traceback")
    options.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        name, *numbers = asked.child
        child(name, *map(int, numbers))
        return
    if asked.case is not None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            os.chdir(folder)
            print(
                KINDS[asked.only[0]].prepare(Path(folder))(
                    random.Random(f"{asked.seed} {asked.only[0]} {asked.case}")
                )()
            )
        return
    about = results.stamp(LIBRARIES, smoke=asked.smoke, command="python -m benchmarks.hardening.fuzz")
    began = time.monotonic()
    seconds = AT_ONCE * asked.seconds / len(asked.only)
    rows: dict[str, Row] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = shares(asked.inputs, asked.only)
        futures = {name: pool.submit(run_kind, name, n, seed=asked.seed, seconds=seconds) for name, n in counts.items()}
        for name, future in futures.items():
            rows[name] = future.result()
            told = rows[name].to_json()
            print(
                f"{name:24}" + "  ".join(f"{key} {value}" for key, value in told.items() if key != "errors"), flush=True
            )
            for fault in rows[name].faults[:SHOWN]:
                print(f"  {fault['fault']} in case {fault['case']}: {fault}", file=sys.stderr)
    told = {"seed": asked.seed, "n": sum(row.n for row in rows.values()), "seconds": round(time.monotonic() - began, 1)}
    print(json.dumps(told))
    if not asked.smoke:
        kinds = {name: row.to_json() for name, row in rows.items()}
        results.write(asked.results / RESULTS, {**about, **told, "kinds": kinds})
    sys.exit(any(row.faults for row in rows.values()))


if __name__ == "__main__":
    main()
