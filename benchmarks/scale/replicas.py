"""Replicas that end under load: two `inkdigit serve` behind nginx, with the configuration of deploy/.

In: nothing; nginx has to be installed. Out: results/replicas.json: the requests before, while and after one replica is
killed (SIGKILL) and the other one is stopped (SIGTERM), and while one hangs (SIGSTOP); how many failed, how many nginx
sent again, how long they took.
Exits with 1 if a request failed, or if an answer differs in one byte from that of an undisturbed replica.

Several threads send drawn digits to /predict and drawn numbers to /read, and never repeat a request themselves. In each
round one replica is killed and started again, then the other one is stopped and started again; the next round changes
their roles. In the end one replica hangs for longer than nginx waits for it.
"""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from operator import itemgetter
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import machine, results
from benchmarks.serving.load import percentile
from benchmarks.serving.service import COMMAND, HOST
from inkdigit.synth.drawn import digit

CONFIGURATION = machine.ROOT / "deploy" / "nginx.conf"
RESULT = "replicas.json"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "fastapi", "uvicorn", "uvloop")
NO_NGINX = "There is no nginx on the PATH. Debian has it: apt-get install nginx-light"
THREADS = 6
ROUNDS = 5
CALM_S = 2.0  # of load in each phase whose length is not given by a start or an end of a replica
PATIENCE_S = 60.0  # for a start or an end
LOOK_S = 0.02
ASKED_AGAIN_S = 1.5  # nginx leaves a replica that failed alone for 1 s
HANG_S = 15.0  # nginx waits for 12 s
TIMEOUT_S = 30.0  # of a request: as long as Inkdigit's client waits
SIZES_PX = (28, 112, 700)  # of the digits: as in MNIST, as from the page, and one that takes longer
BEFORE, KILLED, RESTARTED, STOPPED, AFTER = "before", "one killed", "started again", "other stopped", "after"
HUNG = "one hung"
PHASES = (BEFORE, KILLED, RESTARTED, STOPPED, AFTER, HUNG)
REASONS = {  # in the log of nginx, why a replica was given up for a request
    "refused": "connect() failed (111",
    "reset": "recv() failed (104",
    "closed": "upstream prematurely closed connection",
    "timed out": "upstream timed out",
}


def configuration(text: str, *, replicas: Sequence[int], port: int, folder: Path) -> str:
    """The configuration of deploy/ for this machine: other addresses, ports and paths, and nothing else.

    `replica-1:8000` and so on become 127.0.0.1 with the ports in `replicas`, `listen 8080` becomes 127.0.0.1:`port`;
    what is written goes to `folder` in place of /tmp, /dev/stdout and /dev/stderr.
    """
    changes = {" /tmp/": f" {folder}/"}  # first: the folder may be below /tmp
    changes |= {"/dev/stdout": f"{folder}/access.log", "/dev/stderr": f"{folder}/error.log"}
    changes |= {f"replica-{i}:8000": f"{HOST}:{replica}" for i, replica in enumerate(replicas, 1)}
    changes |= {"listen 8080;": f"listen {HOST}:{port};"}
    for old, new in changes.items():
        if old not in text:
            raise ValueError(f"{CONFIGURATION.name} has no {old!r} any more")
        text = text.replace(old, new)
    return text


@dataclass
class Replica:
    """One service, which may end and start again at the same port."""

    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `wait` until it is ready."""
        with self.log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [*COMMAND, "--host", HOST, "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )

    def wait(self) -> float:
        """Wait until it is ready; the seconds."""
        return _wait(lambda: _status(self.port) == 200, what=f"a replica: {self.log}")

    def end(self, number: int) -> tuple[int, float]:
        """Send a signal; the exit code, and the seconds until it has ended."""
        assert self.process is not None
        began = time.perf_counter()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        return code, time.perf_counter() - began

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Case:
    """An image, its route, what is drawn on it, and the answer of an undisturbed replica."""

    path: str
    body: bytes
    truth: str
    answer: bytes = b""

    def says(self, answer: bytes) -> bool:
        """Whether an answer has what is drawn."""
        data = json.loads(answer)
        (entry,) = data["predictions"] if self.path == "/predict" else data["readings"]
        return bool(self.truth == (entry["label"] if self.path == "/predict" else entry["text"]))


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was sent, how long it took, its status (0: none), whether the answer is right."""

    began: float
    seconds: float
    request_id: str
    status: int
    right: bool

    @property
    def ended(self) -> float:
        """When it was answered."""
        return self.began + self.seconds


@dataclass
class Load:
    """Threads that send requests to a port, each the next one when the last is answered."""

    port: int
    cases: list[Case]
    samples: list[Sample] = field(default_factory=list)
    marks: list[tuple[float, str]] = field(default_factory=list)  # from when which phase holds
    _over: Event = field(default_factory=Event)

    @contextmanager
    def running(self, threads: int) -> Iterator[None]:
        """Send during the block."""
        senders = [Thread(target=self._send_on, args=(number,)) for number in range(threads)]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            self._over.set()
            for sender in senders:
                sender.join()

    def mark(self, phase: str) -> None:
        """Start a phase."""
        self.marks.append((time.perf_counter(), phase))

    def phase(self, sample: Sample) -> str:
        """The phase in which a request ended."""
        return self.marks[bisect(self.marks, sample.ended, key=itemgetter(0)) - 1][1]

    def in_progress(self, phase: str) -> list[Sample]:
        """The requests that were in progress when this phase began, each time."""
        starts = [moment for moment, name in self.marks if name == phase]
        return [sample for sample in self.samples if any(sample.began < start < sample.ended for start in starts)]

    def _send_on(self, number: int) -> None:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT_S)
        for i in count():
            if self._over.is_set():
                break
            case = self.cases[(i + number * len(self.cases) // THREADS) % len(self.cases)]
            self.samples.append(_send(connection, case, f"drill-{number}-{i}"))
        connection.close()


def _send(connection: http.client.HTTPConnection, case: Case, request_id: str) -> Sample:
    """One request, once."""
    began = time.perf_counter()
    status, right = 0, False
    try:
        connection.request("POST", case.path, case.body, {"X-Request-ID": request_id})
        response = connection.getresponse()
        body, status = response.read(), response.status
        right = status == 200 and body == case.answer and response.getheader("X-Request-ID") == request_id
    except (OSError, http.client.HTTPException):
        connection.close()  # the next request opens it again
    return Sample(began, time.perf_counter() - began, request_id, status, right)


def draw() -> list[Case]:
    """Digits and numbers of three digits, ten of each kind, in turn."""
    cases = []
    for label in range(10):
        size_px = SIZES_PX[label % len(SIZES_PX)]
        one = digit(label, rng=np.random.default_rng([1, label]), size_px=size_px)
        cases.append(Case("/predict", _png(one), str(label)))
        number = [label, (label + 3) % 10, (label + 7) % 10]
        signs = [np.pad(digit(n, rng=np.random.default_rng([1, n]), size_px=80), ((20, 20), (4, 4))) for n in number]
        cases.append(Case("/read", _png(np.concatenate(signs, axis=1)), "".join(map(str, number))))
    return cases


def _png(gray: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


def answers(cases: list[Case], replicas: Sequence[Replica]) -> list[Case]:
    """The cases with their answers, which are right, and the same from each replica."""
    asked = []
    for case in cases:
        found = set()
        for replica in replicas:
            connection = http.client.HTTPConnection(HOST, replica.port, timeout=TIMEOUT_S)
            connection.request("POST", case.path, case.body)
            found.add(connection.getresponse().read())
            connection.close()
        if len(found) != 1 or not case.says(next(iter(found))):
            sys.exit(f"The replicas do not agree on {case.truth} at {case.path}, or are wrong: {found}")
        asked.append(Case(case.path, case.body, case.truth, found.pop()))
    return asked


@contextmanager
def proxy(replicas: Sequence[int], folder: Path) -> Iterator[int]:
    """nginx before the replicas at these ports; its own port. Exits if there is no nginx, or if it does not start."""
    program = shutil.which("nginx")
    if program is None:
        sys.exit(NO_NGINX)
    (port,) = free_ports(1)
    text = CONFIGURATION.read_text(encoding="utf-8")
    own = folder / "nginx.conf"
    own.write_text(configuration(text, replicas=replicas, port=port, folder=folder), encoding="utf-8")
    command = [program, "-e", f"{folder}/error.log", "-c", str(own), "-g", "daemon off;"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait(lambda: process.poll() is not None or _status(port) != 0, what="nginx")
        if process.poll() is not None:
            sys.exit(f"nginx does not start:\n{(folder / 'error.log').read_text(encoding='utf-8')}")
        yield port
    finally:
        process.send_signal(signal.SIGQUIT)  # it finishes its requests
        process.wait(PATIENCE_S)


def free_ports(n: int) -> list[int]:
    """Ports of this machine that are free now."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(n)]
        return [int(probe.getsockname()[1]) for probe in probes]


def _status(port: int) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _wait(holds: Callable[[], bool], *, what: str) -> float:
    began = time.perf_counter()
    while not holds():
        if time.perf_counter() - began > PATIENCE_S:
            sys.exit(f"Not within {PATIENCE_S:g} s: {what}")
        time.sleep(LOOK_S)
    return time.perf_counter() - began


def disturb(load: Load, first: Replica, second: Replica, *, calm_s: float) -> dict[str, Any]:
    """One round: kill one replica and start it again, stop the other one and start it again, under load."""
    load.mark(BEFORE)
    time.sleep(calm_s)
    load.mark(KILLED)
    first.end(signal.SIGKILL)
    time.sleep(calm_s / 2)
    first.start()
    started_s = first.wait()
    load.mark(RESTARTED)
    time.sleep(max(calm_s, ASKED_AGAIN_S))
    load.mark(STOPPED)
    code, stopped_s = second.end(signal.SIGTERM)
    time.sleep(calm_s / 2)
    second.start()
    second.wait()
    load.mark(AFTER)
    time.sleep(max(calm_s, ASKED_AGAIN_S))
    return {"exit_code_after_sigterm": code, "stopped_s": round(stopped_s, 3), "started_s": round(started_s, 2)}


def hang(load: Load, replica: Replica, *, seconds: float) -> None:
    """Stop a replica from working, so that it accepts requests and answers none; then let it go on."""
    assert replica.process is not None
    load.mark(HUNG)
    replica.process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    replica.process.send_signal(signal.SIGCONT)


def sent_again(log: Path) -> dict[str, int]:
    """Request id → how many replicas had the request, of those that more than one had."""
    entries = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    tries = {entry["request_id"]: len(re.split(r"[,:] ", entry["upstream"])) for entry in entries}
    return {request_id: n for request_id, n in tries.items() if n > 1}


def figures(load: Load, again: dict[str, int]) -> dict[str, Any]:
    """The figures of each phase, and of all together."""
    phases: dict[str, list[Sample]] = {phase: [] for phase in PHASES}
    for sample in load.samples:
        phases[load.phase(sample)].append(sample)
    return {name: _figures(samples, again) for name, samples in {**phases, "all": load.samples}.items()}


def _figures(samples: Sequence[Sample], again: dict[str, int]) -> dict[str, Any]:
    took = sorted(1000 * sample.seconds for sample in samples)
    times = {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99), "max_ms": took[-1] if took else None}
    return {
        "n": len(samples),
        "failed": sum(sample.status != 200 for sample in samples),
        "wrong": sum(sample.status == 200 and not sample.right for sample in samples),
        "sent_again": sum(sample.request_id in again for sample in samples),
        **{name: None if value is None else round(value, 2) for name, value in times.items()},
    }


def cut_off(samples: Sequence[Sample], again: dict[str, int]) -> dict[str, int]:
    """How many requests, at both replicas, and how many of them were sent again."""
    return {"n": len(samples), "sent_again": sum(sample.request_id in again for sample in samples)}


def measure(
    folder: Path, *, rounds: int = ROUNDS, threads: int = THREADS, calm_s: float = CALM_S, hang_s: float = HANG_S
) -> dict[str, Any]:
    """Replicas, a proxy and load in `folder`; the results. No replica hangs if `hang_s` is 0."""
    folder.chmod(0o755)  # nginx may run as another user
    replicas = [Replica(port, folder / f"replica-{i}.log") for i, port in enumerate(free_ports(2), 1)]
    with ExitStack() as stack:
        for replica in replicas:
            stack.callback(replica.close)
            replica.start()
        for replica in replicas:
            replica.wait()
        cases = answers(draw(), replicas)
        with proxy([replica.port for replica in replicas], folder) as port:
            load = Load(port, cases)
            load.mark(BEFORE)
            with load.running(threads):
                done = [disturb(load, *replicas[:: 1 - 2 * (i % 2)], calm_s=calm_s) for i in range(rounds)]
                if hang_s:
                    hang(load, replicas[0], seconds=hang_s)
    errors = (folder / "error.log").read_text(encoding="utf-8", errors="replace")
    statuses = Counter(str(sample.status) for sample in load.samples)
    again = sent_again(folder / "access.log")
    return {
        "rounds": done,
        "threads": threads,
        "phases": figures(load, again),
        "in_progress": {phase: cut_off(load.in_progress(phase), again) for phase in (KILLED, STOPPED, HUNG)},
        "statuses": dict(statuses),
        "reasons": {name: errors.count(text) for name, text in REASONS.items()},
    }


def problems(record: dict[str, Any]) -> list[str]:
    """What went wrong: a request without an answer, a wrong answer, a replica that did not end by itself."""
    together = record["phases"]["all"]
    found = [
        f"{together[name]} requests {name}: {record['statuses']}" for name in ("failed", "wrong") if together[name]
    ]
    codes = [done["exit_code_after_sigterm"] for done in record["rounds"]]
    if any(codes):
        found.append(f"a replica that was stopped ended with {codes}")
    if not record["phases"][KILLED]["sent_again"]:
        found.append("no request was sent again: the replica was not in use when it was killed")
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """End replicas under load, and write the results."""
    parser = results.parser(__doc__, smoke="one short round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args(argv)
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.scale.replicas")
    with tempfile.TemporaryDirectory(prefix="inkdigit-replicas-") as name:
        settings = {"rounds": 1, "calm_s": 0.5, "hang_s": 0} if options.smoke else {"rounds": options.rounds}
        record = {**about, "nginx": nginx_version(), **measure(Path(name), **settings)}
    results.write(options.results / RESULT, record)
    if found := problems(record):
        sys.exit("\n".join(found))


def nginx_version() -> str:
    """The version of nginx. Exits without nginx."""
    program = shutil.which("nginx")
    if program is None:
        sys.exit(NO_NGINX)
    done = subprocess.run([program, "-v"], capture_output=True, encoding="utf-8", check=True)
    return done.stderr.strip().rpartition("/")[2]


if __name__ == "__main__":
    main()
