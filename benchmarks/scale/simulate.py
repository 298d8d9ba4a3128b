"""A thousand workers with a fake clock: does the shipped planner lose, double or delay rows?

In: service times that `measure` found. Out: `results/scale-simulation.json`. The engine is simulated: its workers take
as long as real ones, some are slow, some die in the middle of a part, and the driver is killed now and then. All else
is the code that ships: the manifest, `do_missing`, the storing of parts, and the check of what is finished. That no row
is lost or written twice is asserted.
"""

from __future__ import annotations

import heapq
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.common import results
from benchmarks.scale.measure import RESULT as MEASURED
from inkdigit.scale.batch import do_missing
from inkdigit.scale.manifest import Manifest, Writer
from inkdigit.scale.rows import Finished, Job

RESULT = "scale-simulation.json"
WORKERS, PARTS, ROWS = 1_000, 20_000, 4_096
PICTURES = "crop predict"  # whose measured time the workers take
SPREAD = 0.15  # of the time of a part, as the standard deviation of its logarithm
SLOW_SHARE, SLOW = 0.02, 8.0  # of the workers, and how many times they are slower
DEATHS = 0.01  # of a part: its worker dies somewhere in it
RESTART_S = 12.0  # of a worker that died
DRIVER_DEATHS = 3  # during the whole job
START_S = 40.0  # of a cluster, before the first part begins


@dataclass
class Clock:
    """Simulated seconds, and what the workers did in them."""

    now: float = 0.0
    busy_s: float = 0.0
    wasted_s: float = 0.0
    begun: Counter[int] = field(default_factory=Counter)


class Killed(Exception):
    """The driver is gone."""


@dataclass
class Fleet:
    """Workers on a fake clock: an `Engine`."""

    clock: Clock
    rng: Random
    slow: Sequence[float]  # of each worker: how many times slower it is
    picture_s: float
    deaths: float  # of a part: its worker dies somewhere in it
    dies_at: float = float("inf")  # when the driver is killed

    def run(self, make: Callable[[], Callable[[Any], Any]], jobs: Iterable[Any]) -> Generator[tuple[Any, Any]]:
        """See `inkdigit.scale.engine.Engine.run`."""
        work, source, again = make(), iter(jobs), []
        events: list[tuple[float, int, int, Any, float]] = []  # end, number, worker, job, begin
        count = 0

        def assign(worker: int, at: float) -> None:
            nonlocal count
            job = again.pop() if again else next(source, None)
            if job is None:
                return
            self.clock.begun[job.part.number] += 1
            seconds = job.part.rows * self.picture_s * self.slow[worker] * self.rng.lognormvariate(0, SPREAD)
            dies = self.rng.random() < self.deaths
            end = at + seconds * (self.rng.random() if dies else 1.0)
            count += 1
            heapq.heappush(events, (end, count, worker, (job, dies), at))

        for worker in range(len(self.slow)):
            assign(worker, self.clock.now + START_S)
        while events:
            end, _, worker, (job, dies), begun = heapq.heappop(events)
            if end > self.dies_at:
                self.clock.wasted_s += sum(
                    self.dies_at - event[4] for event in [(end, 0, worker, None, begun), *events]
                )
                self.clock.now = self.dies_at
                raise Killed
            self.clock.now = end
            if dies:
                self.clock.wasted_s += end - begun
                again.append(job)
                assign(worker, end + RESTART_S)
                continue
            self.clock.busy_s += end - begun
            yield job, work(job)
            assign(worker, end)


class Rows:
    """Work that gives a part as many rows as it should have."""

    def __call__(self, job: Job) -> Finished:
        """The names of the rows, in place of a Parquet file."""
        part = job.part
        content = json.dumps([part.source, part.before, part.rows]).encode()
        return Finished(content, part.rows, 0, 0)


def listed(out: Path, parts: int) -> Manifest:
    """The manifest of a job of so many parts, in shards of ten parts."""
    writer = Writer(out)
    for number in range(parts):
        shard, place = divmod(number, 10)
        name = f"shard-{shard:05}.tar"
        writer.add("tar", name, name, start=place * ROWS * 1024, rows=ROWS, before=place * ROWS)
    return writer.finish({"simulated": True})


def simulate(
    out: Path, picture_s: float, *, workers: int, parts: int, seed: int, stragglers: bool, failures: bool
) -> dict[str, Any]:
    """One job to its end, given again as often as its driver dies."""
    rng, clock = Random(seed), Clock()
    slow = [SLOW if stragglers and rng.random() < SLOW_SHARE else 1.0 for _ in range(workers)]
    manifest = listed(out, parts)
    work_s = parts * ROWS * picture_s / sum(1 / factor for factor in slow)
    ideal_s = START_S + work_s
    lives = iter([START_S + rng.uniform(0.1, 0.3) * work_s for _ in range(DRIVER_DEATHS * failures)])  # of the driver
    stored: Counter[int] = Counter()
    calls = 0
    while True:
        calls += 1
        finished = manifest.finished()
        fleet = Fleet(clock, rng, slow, picture_s, DEATHS if failures else 0.0, clock.now + next(lives, float("inf")))
        try:
            for done in do_missing(manifest, fleet, Rows, finished=finished):
                stored[done.part] += 1
            break
        except Killed:
            continue
    assert set(stored) == set(range(parts)), "a part is missing"
    assert max(stored.values()) == 1, "a part was stored twice"
    assert rows_of(out) == parts * ROWS, "rows are missing or double"
    return {
        "workers": workers,
        "parts": parts,
        "rows": parts * ROWS,
        "stragglers": stragglers,
        "failures": failures,
        "calls": calls,
        "ideal_s": round(ideal_s, 1),
        "finished_s": round(clock.now, 1),
        "over_ideal": round(clock.now / ideal_s, 3),
        "begun_again": sum(count - 1 for count in clock.begun.values()),
        "wasted_share": round(clock.wasted_s / (clock.wasted_s + clock.busy_s), 4),
        "lost_rows": 0,
        "double_rows": 0,
    }


def rows_of(out: Path) -> int:
    """The rows in all files, where no range is there twice."""
    seen: set[tuple[str, int]] = set()
    total = 0
    for path in out.glob("part-*.parquet"):
        source, before, rows = json.loads(path.read_bytes())
        assert (source, before) not in seen, "a range is there twice"
        seen.add((source, before))
        total += rows
    return total


def cases(smoke: bool) -> Iterator[tuple[int, int, bool, bool]]:
    """Workers, parts, stragglers, failures."""
    for stragglers, failures in ((False, False), (True, False), (False, True), (True, True)):
        yield (50, 300, stragglers, failures) if smoke else (WORKERS, PARTS, stragglers, failures)


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate and write the figures."""
    options = results.parser(__doc__, smoke="fifty workers").parse_args(argv)
    about = results.stamp(("inkdigit",), smoke=options.smoke, command="python -m benchmarks.scale.simulate")
    measured = results.read(options.results / MEASURED) or results.read(results.RESULTS / MEASURED)
    if measured is None:
        print("No service times: run python -m benchmarks.scale.measure kinds first.", file=sys.stderr)
        return 1
    picture_s = measured["parts"]["kinds"]["figures"][PICTURES]["whole"]
    found = []
    for workers, parts, stragglers, failures in cases(options.smoke):
        with tempfile.TemporaryDirectory(prefix="inkdigit-simulation-") as name:
            out = Path(name) / "out"
            found.append(
                simulate(out, picture_s, workers=workers, parts=parts, seed=1, stragglers=stragglers, failures=failures)
            )
        print(found[-1], flush=True)
    results.write(
        options.results / RESULT,
        {
            **about,
            "pictures": PICTURES,
            "picture_s": picture_s,
            "slow": [SLOW_SHARE, SLOW],
            "deaths": DEATHS,
            "restart_s": RESTART_S,
            "start_s": START_S,
            "driver_deaths": DRIVER_DEATHS,
            "cases": found,
        },
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
