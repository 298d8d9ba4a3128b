"""Jobs of 20,000 pictures that are killed at random moments: are all rows there, once, bit for bit?

In: an installed `inkdigit[scale]`. Out: a line for each kill, and `results/scale-drills.json`. A driver, a worker
process or a node of a cluster of three is killed by SIGKILL; if the job ends with that, the same command is given
again. Then the files must be those of a job that nobody disturbed. Exits with 1 if they are not.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.common import results
from benchmarks.common.machine import INKDIGIT, environment
from benchmarks.scale import material

RESULT = "scale-drills.json"
LIBRARIES = ("inkdigit", "numpy", "onnxruntime", "pyarrow", "ray")
PICTURES, PART_ROWS = 20_000, 500
KILLS = 10  # of each kind
TRIES = 12  # of the same command
TIMEOUT_S = 180
NODES = 3
ACTOR = "MapWorker"  # how Ray Data calls the processes of its actors


@dataclass(frozen=True)
class Kind:
    """Who is killed, and with which engine."""

    name: str
    engine: str
    victim: Callable[[Job, Random], str | None]
    kills: int = KILLS


@dataclass
class Job:
    """A job that runs: its process, and the nodes of its cluster besides the first."""

    process: subprocess.Popen[str]
    cluster: Any = None
    nodes: list[Any] | None = None


def command(shard: Path, out: Path, *words: object) -> list[str]:
    """The command of a job."""
    options = ["--out", out, "--part-rows", PART_ROWS, "--workers", 2]
    return list(map(str, [INKDIGIT, "batch", shard, *options, *words]))


def kill_driver(job: Job, rng: Random) -> str:
    """Kill the command itself."""
    del rng
    job.process.kill()
    return "driver"


def kill_worker(job: Job, rng: Random) -> str | None:
    """Kill one of the processes that do the work; None if there is none yet."""
    found = [int(path.name) for path in Path("/proc").glob("[0-9]*") if _is_worker(int(path.name), job)]
    if not found:
        return None
    os.kill(rng.choice(found), signal.SIGKILL)
    return "worker"


def _is_worker(pid: int, job: Job) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        parent = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return False
    if job.cluster is None and "spawn_main" in words:
        return parent == job.process.pid
    return ACTOR in words


def kill_node(job: Job, rng: Random) -> str | None:
    """Take a node away, as if its plug were pulled; another one comes in its place."""
    assert job.nodes is not None
    job.cluster.remove_node(job.nodes.pop(rng.randrange(len(job.nodes))), allow_graceful=False)
    job.nodes.append(job.cluster.add_node(num_cpus=1))
    return "node"


KINDS = [
    Kind("local, its driver", "local", kill_driver),
    Kind("local, one of its workers", "local", kill_worker),
    Kind("Ray, its driver", "ray", kill_driver),
    Kind("Ray, one of its workers", "ray", kill_worker),
    Kind("Ray, a node of three", "ray", kill_node),
]


@contextmanager
def cluster_of(nodes: int) -> Iterator[tuple[Any, list[Any]]]:
    """A cluster of so many nodes on this machine, and those that may be taken away."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        yield cluster, [cluster.add_node(num_cpus=1) for _ in range(nodes - 1)]
    finally:
        cluster.shutdown()


def run(words: list[str], kind: Kind | None, rng: Random, *, seconds: float, cluster: Any = None) -> tuple[int, bool]:
    """Run a job, and kill something after a random part of `seconds`; its exit code, and whether it was killed."""
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=environment()
    )
    job = Job(process, *(cluster or (None, None)))
    moment, killed = time.monotonic() + rng.uniform(0.1, 0.9) * seconds, False
    end = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        if kind is not None and not killed and time.monotonic() >= moment:
            killed = kind.victim(job, rng) is not None
        time.sleep(0.02)
    process.kill()
    output, _ = process.communicate()
    if process.returncode > 0:
        print(f"    {output.strip().splitlines()[-1][:300] if output.strip() else ''}", flush=True)
    return process.returncode, killed


def hashes(out: Path) -> list[str]:
    """The SHA-256 of each part."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.parquet"))]


def drill(kind: Kind, shard: Path, folder: Path, expected: list[str], rng: Random, *, kills: int) -> dict[str, Any]:
    """Kill so many jobs of a kind: how many went on by themselves, were given again, and are right."""
    begun = time.monotonic()
    went_on = again = right = done = number = 0
    rows: list[int] = []
    with cluster_of(NODES) if kind.engine == "ray" else no_cluster() as cluster:
        extra = ["--engine", "ray", "--address", cluster[0].address] if cluster else []
        plain = time.monotonic()
        run(command(shard, folder / "plain", *extra), None, rng, seconds=1, cluster=cluster)
        seconds = time.monotonic() - plain
        while done < kills and number < 2 * kills:  # a job may end before its moment has come
            number += 1
            out = folder / f"{number}"
            words = command(shard, out, *extra)
            code, killed = run(words, kind, rng, seconds=seconds, cluster=cluster)
            tries = 0
            while code != 0 and tries < TRIES:
                tries += 1
                code, _ = run(words, None, rng, seconds=1, cluster=cluster)
            done += killed
            went_on += killed and not tries
            again += tries > 0
            same = code == 0 and hashes(out) == expected
            right += same
            rows.append(count_rows(out) if same else -1)
            print(f"{kind.name}, {number}: killed {killed}, tries {tries}, right {same}", flush=True)
    return {
        "kind": kind.name,
        "n": number,
        "killed": done,
        "went_on": went_on,
        "given_again": again,
        "right": right,
        "rows": sorted(set(rows)),
        "seconds": round(time.monotonic() - begun, 1),
    }


@contextmanager
def no_cluster() -> Iterator[None]:
    """Nothing to start."""
    yield None


def count_rows(out: Path) -> int:
    """The number of different pictures in all parts."""
    import pyarrow.dataset as ds

    return len(set(ds.dataset(out).to_table(columns=["id"])["id"].to_pylist()))


def main(argv: Sequence[str] | None = None) -> int:
    """Do the drills; 1 if a row is missing, double or different."""
    parser = results.parser(__doc__, smoke="one kill of a local driver and one of a local worker")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each kind")
    options = parser.parse_args(argv)
    about = results.stamp(LIBRARIES, smoke=options.smoke, command="python -m benchmarks.scale.drills")
    kinds = KINDS[:2] if options.smoke else KINDS
    found = []
    with tempfile.TemporaryDirectory(prefix="inkdigit-drills-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        shard = material.write_tar(folder / "digits.tar", material.digits(), PICTURES)
        run(command(shard, folder / "expected"), None, Random(0), seconds=1)
        expected = hashes(folder / "expected")
        assert len(expected) == PICTURES // PART_ROWS
        for kind in kinds:
            place = folder / f"{len(found)}"
            place.mkdir()
            kills = 1 if options.smoke else options.kills
            found.append(drill(kind, shard, place, expected, Random(f"{options.seed} {kind.name}"), kills=kills))
    results.write(options.results / RESULT, {**about, "pictures": PICTURES, "kinds": found})
    return 0 if all(kind["right"] == kind["n"] for kind in found) else 1


if __name__ == "__main__":
    sys.exit(main())
