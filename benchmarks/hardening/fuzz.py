"""Ten thousand inputs with something wrong in them, and the result of each: an answer, or one error of ours.

In: an installed `inkdigit[dev]`; a seed. Out: `results/fuzz.json`, one row for each kind of input: how many were
answered and refused; tracebacks, hangs, more than 1 GB beyond what importing takes, more than 2 s of processor time.
Exit status 1 if there is any of those.

    python -m benchmarks.hardening.fuzz                            everything
    python -m benchmarks.hardening.fuzz --seconds 20 --smoke       as many as fit in 20 seconds, of all kinds
    python -m benchmarks.hardening.fuzz --only pictures --case 17  one input again, with its traceback

Each kind has a process of its own, so that an input that hangs or kills it is only one input lost. Training is left
out: networks are built and take at most two steps on 32 images.
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
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.common import machine, results
from benchmarks.hardening import fuzz_files, fuzz_inputs, fuzz_models
from benchmarks.hardening.fuzz_kinds import Kind

RESULTS = "fuzz.json"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "torch", "polars", "hypothesis")
SEED = 17
KINDS: dict[str, Kind] = {**fuzz_inputs.KINDS, **fuzz_models.KINDS, **fuzz_files.KINDS}
MAX_SECONDS = 2.0  # of processor time, of all threads
MAX_MB = 1_000  # beyond what importing takes
AT_ONCE = 2  # processes
START_S = 180.0  # until a process has made its good inputs, a trained run among them
HANG_S = 30.0  # without a line, however busy the machine is
LIMIT_BYTES = 4 * 2**30  # beyond what importing takes: the system refuses more
MAX_MESSAGE = 3_500  # characters of an error, which is one line
WARM = 8  # inputs before those that count: what they import stays loaded
SHOWN = 20  # printed faults of a kind


@dataclass
class Row:
    """The results of the inputs of one kind."""

    n: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)  # of those that were refused
    max_s: float = 0.0
    max_mb: float = 0.0
    faults: list[dict[str, Any]] = field(default_factory=list)

    def add(self, result: dict[str, Any]) -> None:
        """Count one input."""
        self.n += 1
        self.outcomes[result["outcome"]] += 1
        if result["outcome"] == "refused":
            self.errors[result["error"]] += 1
        self.max_s = max(self.max_s, result.get("seconds", 0.0))
        self.max_mb = max(self.max_mb, result.get("mb", 0.0))
        faults = [] if result["outcome"] in ("answered", "refused") else [result["outcome"]]
        faults += ["slow"] * (result.get("seconds", 0.0) > MAX_SECONDS) + ["large"] * (result.get("mb", 0.0) > MAX_MB)
        for fault in faults:
            self.outcomes[fault] += fault != result["outcome"]
            self.faults.append({**result, "fault": fault})

    def to_json(self) -> dict[str, Any]:
        """As JSON types."""
        faults = {name: self.outcomes[name] for name in ("traceback", "unclear", "hang", "killed", "large", "slow")}
        return {
            "n": self.n,
            "answered": self.outcomes["answered"],
            "refused": self.outcomes["refused"],
            **faults,
            "errors": dict(sorted(self.errors.items())),
            "most_s": round(self.max_s, 2),
            "most_mb": round(self.max_mb),
        }


# In the process of a kind --------------------------------------------------------------------------------------------


def child(name: str, seed: int, first: int, count: int) -> None:
    """Try the inputs `first` … of a kind; a line of JSON for each."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        os.chdir(folder)
        make = KINDS[name].prepare(Path(folder))
        out = os.fdopen(os.dup(1), "w", encoding="utf-8")  # an input may print
        sys.stdout = io.StringIO()
        for number in range(WARM):
            attempt(make, random.Random(f"{seed} {name} warm {number}"))
        own_mb = _peak_mb()
        _bound(LIMIT_BYTES)
        for case in range(first, first + count):
            print(json.dumps({"begins": case}), file=out, flush=True)
            result = attempt(make, random.Random(f"{seed} {name} {case}"))
            result["mb"] = round(max(0.0, result["mb"] - own_mb), 1)
            print(json.dumps({"case": case, **result}), file=out, flush=True)


def attempt(make: Any, rng: random.Random) -> dict[str, Any]:
    from inkdigit.errors import InkdigitError

    call = make(rng)
    _forget_peak()
    began = time.process_time()
    result: dict[str, Any]
    try:
        call()
        result = {"outcome": "answered"}
    except InkdigitError as exc:
        clear = "\n" not in str(exc) and len(str(exc)) <= MAX_MESSAGE
        result = {"outcome": "refused" if clear else "unclear", "error": exc.kind, "words": str(exc)[:300]}
    except Exception as exc:  # noqa: BLE001 - that is what is looked for
        result = {"outcome": "traceback", "error": type(exc).__name__, "words": _last_lines(exc)}
    return {**result, "seconds": round(time.process_time() - began, 3), "mb": _peak_mb()}


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


# In the process that starts it -------------------------------------------------------------------------------------


def run_kind(name: str, count: int, *, seed: int, seconds: float = math.inf) -> Row:
    """Try `count` inputs of a kind, or as many as fit in `seconds`; an input that hangs its process is lost."""
    row, case, began = Row(), 0, None
    while case < count:
        for result in _lines(name, seed, case, count - case):
            began = began or time.monotonic()
            if "outcome" in result:
                row.add(result)
                case = result["case"] + 1
            if time.monotonic() > began + seconds:
                return row
    return row


def _lines(name: str, seed: int, first: int, count: int) -> Iterator[dict[str, Any]]:
    """The lines of one process, until it is done, or silent for too long, or dead."""
    command = machine.script("hardening.fuzz", "--child", name, seed, first, count)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8") as errors,  # a pipe that nobody empties would block the writer
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8", env=machine.environment()
        ) as process,
    ):
        lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=_pass_on, args=(process, lines), daemon=True).start()
        begun: int | None = None
        try:
            while line := lines.get(timeout=START_S if begun is None else HANG_S):
                result = json.loads(line)
                begun = result.get("begins")
                yield result
        except queue.Empty:
            yield {"case": first if begun is None else begun, "outcome": "hang", "words": f"nothing for {HANG_S:g} s"}
            return
        finally:
            process.kill()
        if begun is None and process.wait() == 0:
            return
        errors.seek(0)
        words = errors.read()[-400:]
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


def main(argv: Sequence[str] | None = None) -> None:
    """Try all kinds, print a line for each, write the result."""
    parser = results.parser(__doc__, smoke="write nothing")
    parser.add_argument("--inputs", type=int, default=10_000, help="in all")
    parser.add_argument("--seconds", type=float, default=math.inf, help="of trying inputs, without the start")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--only", nargs="*", choices=KINDS, default=list(KINDS), help="only these kinds")
    parser.add_argument("--case", type=int, help="one input of the kind, with its traceback")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        name, *numbers = options.child
        child(name, *map(int, numbers))
        return
    if options.case is not None:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            os.chdir(folder)
            print(
                KINDS[options.only[0]].prepare(Path(folder))(
                    random.Random(f"{options.seed} {options.only[0]} {options.case}")
                )()
            )
        return
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.hardening.fuzz")
    began = time.monotonic()
    seconds = AT_ONCE * options.seconds / len(options.only)
    rows: dict[str, Row] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = shares(options.inputs, options.only)
        futures = {
            name: pool.submit(run_kind, name, n, seed=options.seed, seconds=seconds) for name, n in counts.items()
        }
        for name, future in futures.items():
            rows[name] = future.result()
            result = rows[name].to_json()
            print(
                f"{name:24}" + "  ".join(f"{key} {value}" for key, value in result.items() if key != "errors"),
                flush=True,
            )
            for fault in rows[name].faults[:SHOWN]:
                print(f"  {fault['fault']} in case {fault['case']}: {fault}", file=sys.stderr)
    result = {
        "seed": options.seed,
        "n": sum(row.n for row in rows.values()),
        "seconds": round(time.monotonic() - began, 1),
    }
    print(json.dumps(result))
    if not options.smoke:
        kinds = {name: row.to_json() for name, row in rows.items()}
        results.write(options.results / RESULTS, {**about, **result, "kinds": kinds})
    sys.exit(any(row.faults for row in rows.values()))


if __name__ == "__main__":
    main()
