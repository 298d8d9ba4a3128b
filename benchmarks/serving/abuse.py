"""Five thousand malformed requests to `inkdigit serve`, and whether it answers correctly afterwards.

In: an installed `inkdigit[serve]`, and schemathesis (`pip install schemathesis`) for some of the requests, which it
makes from /openapi.json. Out: `results/abuse.json`: the statuses of each kind, those that were not right, and memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.common import machine, results
from benchmarks.serving import load, malformed_bodies, malformed_wire, service
from benchmarks.serving import measure as serving
from benchmarks.serving.malformed import CLOSED, SILENT, Attack

RESULTS = "abuse.json"
LIBRARIES = (*serving.LIBRARIES, "httptools", "h11", "schemathesis", "hypothesis")
SEED = 7
KINDS: dict[str, Callable[[Random], Attack]] = {**malformed_wire.KINDS, **malformed_bodies.KINDS}
HEAVY = "as many pixels as are taken, in few bytes"  # comes last: other requests would wait for it
FEW = {  # that take long, or much: how many of them at most
    "a byte a second": 16,
    "connections that say nothing": 16,
    HEAVY: 12,
    "more bytes than are taken": 30,
}
SCHEMATHESIS = "schemathesis, from /openapi.json"
AT_ONCE = 32
PATIENCE_S = 20.0  # for the first byte of an answer: twice the time limit of a request
QUIET_S = 0.5  # after the last byte of an answer, if the service does not close
SETTLE_S = 5.0  # until memory is looked at for the last time: work that no client waits for ends until then
EXAMPLES = 100  # of each operation, that schemathesis makes in each of its phases
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
ALWAYS = {503}  # may be answered to whatever is too much at the moment
# What no answer may hold: a traceback, a path of this machine, the content of a file.
LEAKS = re.compile(
    rb'Traceback \(most|File "/|site-packages|root:x:0|\[build-system\]|' + re.escape(bytes(machine.ROOT))
)
WORDS = {CLOSED: "closed", SILENT: "no answer"}


@dataclass
class Tally:
    """The results of the requests of one kind."""

    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)  # a description of each answer that is not right

    def to_json(self) -> dict[str, Any]:
        """How many there were of each status, and of what is not right."""
        n = sum(self.statuses.values())
        return {"n": n, "statuses": dict(sorted(self.statuses.items())), "wrong": len(self.wrong)}


def attacks(total: int, *, seed: int, kinds: Iterable[str] = KINDS) -> list[tuple[str, Attack]]:
    """So many requests, as many of each kind as it may have; always the same for a seed."""
    names, order = list(kinds), Random(seed)
    few = {name: min(FEW[name], total // len(names)) for name in names if name in FEW}
    others = [name for name in names if name not in few]
    share = -(-(total - sum(few.values())) // len(others)) if others else 0
    made = []
    for name in names:
        rng = Random(f"{seed} {name}")
        made += [(name, KINDS[name](rng)) for _ in range(few.get(name, share))]
    order.shuffle(made)
    return sorted(made, key=lambda pair: pair[0] == HEAVY)


async def send(host: str, attack: Attack, *, patience_s: float = PATIENCE_S) -> bytes | None:
    """All that the service answers before it closes or falls silent; None if it does neither in time."""
    name, _, port = host.partition(":")
    reader, writer = await asyncio.open_connection(name, int(port))
    reading = asyncio.ensure_future(_read(reader, patience_s))
    try:
        for step in attack.steps:
            if isinstance(step, float):
                await asyncio.wait([reading], timeout=step)
            else:
                writer.write(step)
                drained = asyncio.ensure_future(writer.drain())
                await asyncio.wait([reading, drained], return_when=asyncio.FIRST_COMPLETED)
                drained.cancel()
                await asyncio.gather(drained, return_exceptions=True)
            if reading.done():
                break
        if attack.end == "reset":
            writer.transport.abort()
        elif attack.end == "half" and not writer.is_closing():
            writer.write_eof()
        return await reading
    finally:
        reading.cancel()
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, patience_s: float) -> bytes | None:
    data = b""
    while True:
        try:
            more = await asyncio.wait_for(reader.read(2**16), QUIET_S if data else patience_s)
        except TimeoutError:
            return data or None
        except ConnectionError:
            return data
        if not more:
            return data
        data += more


def judge(attack: Attack, answer: bytes | None, tally: Tally) -> None:
    """Count what was answered, and note what is not right about it."""
    statuses = [SILENT] if answer is None else [int(status) for status in STATUS.findall(answer)] or [CLOSED]
    last = statuses[-1] if statuses[-1] != 100 else CLOSED  # "100 Continue" is not an answer yet
    status = WORDS.get(last, str(last))
    tally.statuses[status] += 1
    if last not in attack.right | ALWAYS or last == 500:
        tally.wrong.append(f"{status} to {_short(attack)}")
    elif len(statuses) > attack.answers and statuses[0] != 100:
        tally.wrong.append(f"{len(statuses)} answers to {_short(attack)}")
    elif leak := LEAKS.search(answer or b""):
        tally.wrong.append(f"{leak[0]!r} in the answer to {_short(attack)}")


def _short(attack: Attack) -> str:
    sent = b"".join(step for step in attack.steps if isinstance(step, bytes))
    return repr(sent[:300])


async def assault(host: str, made: Sequence[tuple[str, Attack]], *, patience_s: float = PATIENCE_S) -> dict[str, Tally]:
    """Send all of them, some at a time; a tally for each kind."""
    tallies = {name: Tally() for name in KINDS if any(name == kind for kind, _ in made)}
    places = asyncio.Semaphore(AT_ONCE)

    async def send_one(name: str, attack: Attack) -> None:
        async with places:
            judge(attack, await send(host, attack, patience_s=patience_s), tallies[name])

    await asyncio.gather(*(send_one(name, attack) for name, attack in made))
    return tallies


def by_schema(at: service.Service, examples: int, *, folder: Path) -> Tally:
    """The requests of schemathesis and their answers: each request may be right, none may be answered with 500."""
    report = folder / "requests.har"
    command = [sys.executable, "-m", "schemathesis.cli", "run", f"{at.url}/openapi.json", f"--seed={SEED}"]
    command += [f"--max-examples={examples}", "--checks=not_a_server_error", "--mode=all", "--continue-on-failure"]
    command += ["--generation-database=none", "--report=har", f"--report-har-path={report}", "--output-sanitize=false"]
    done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", check=False)
    if not report.exists():
        sys.exit(f"schemathesis failed:\n{(done.stdout + done.stderr)[-2000:]}\nInstall it: pip install schemathesis")
    tally = Tally()
    for entry in json.loads(report.read_text(encoding="utf-8"))["log"]["entries"]:
        request, answer = entry["request"], entry["response"]
        status = int(answer["status"])
        tally.statuses[str(status) if status else WORDS[CLOSED]] += 1
        content = answer.get("content", {})
        text = content.get("text") or ""
        body = base64.b64decode(text) if content.get("encoding") == "base64" else text.encode(errors="replace")
        if (status >= 500 and status not in ALWAYS) or LEAKS.search(body):
            tally.wrong.append(f"{status} to {request['method']} {request['url'][:200]}: {body[:200]!r}")
    return tally


def is_well(at: service.Service) -> dict[str, Any]:
    """Whether it is ready, and answers rightly and soon."""
    waited, answer = asyncio.run(load.first_answer(at.host, serving.post(serving.digit(), at.host), patience_s=5))
    return {"ready": at.get("/health/ready") == 200, "right": answer.right, "answer_s": round(waited, 3)}


def measure(at: service.Service, *, total: int, examples: int, folder: Path) -> dict[str, Any]:
    """Send the requests of all kinds; their results."""
    asyncio.run(load.closed(at.host, serving.post(serving.digit(), at.host), connections=8, seconds=1))
    before = at.rss_mb()
    began = time.perf_counter()
    tallies = {SCHEMATHESIS: by_schema(at, examples, folder=folder)} if examples else {}
    rss = {"before": before, "after_schemathesis": at.rss_mb()}
    made = attacks(max(len(KINDS), total - sum(tally.statuses.total() for tally in tallies.values())), seed=SEED)
    ours, rss["most"] = asyncio.run(load.watched(assault(at.host, made), at.rss_mb))
    seconds = time.perf_counter() - began
    well = is_well(at)
    time.sleep(SETTLE_S)
    rss["after"] = at.rss_mb()
    log = at.log.read_text(encoding="utf-8", errors="replace")
    tallies |= ours
    for name, tally in tallies.items():
        for problem in tally.wrong[:20]:
            print(f"{name}: {problem}", file=sys.stderr)
    return {
        "seconds": round(seconds, 1),
        "n": sum(tally.statuses.total() for tally in tallies.values()),
        "kinds": {name: tally.to_json() for name, tally in tallies.items()},
        "rss_mb": {name: round(value, 1) for name, value in rss.items()},
        "tracebacks_logged": log.count("Traceback (most recent call last)"),
        "well_after": well,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Send malformed requests to one service, and write the results."""
    parser = results.parser(__doc__, smoke="200 requests of our own")
    parser.add_argument("--requests", type=int, default=5_000, help="in all, those of schemathesis among them")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="of each operation by schemathesis; 0: none")
    options = parser.parse_args(argv)
    if options.smoke:
        options.requests, options.examples = 200, 0
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.serving.abuse")
    with tempfile.TemporaryDirectory() as name, service.running(log=Path(name) / "serve.log") as at:
        figures = measure(at, total=options.requests, examples=options.examples, folder=Path(name))
    results.write(options.results / RESULTS, {**about, "seed": SEED, **figures})


if __name__ == "__main__":
    main()
