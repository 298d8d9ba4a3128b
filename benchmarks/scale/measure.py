"""How fast `inkdigit batch` is, where its time goes, and how much memory it takes.

In: an installed `inkdigit[scale]`; pictures that `material` draws. Out: `results/scale.json`, a part of it for each
measurement, so that one can be made again alone. Each measurement is a process of its own.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.common import machine, results
from inkdigit.machine import PEAK_UNIT

MB = PEAK_UNIT / 1e6  # of what the system counts as the peak of a process
RESULT = "scale.json"
LIBRARIES = ("inkdigit", "numpy", "pillow", "onnxruntime", "pyarrow", "ray")
KINDS = {"digit": 4_000, "crop": 400, "photo": 24}  # pictures that are timed
ROUNDS = 5
COMPARED = 60_000  # pictures of the comparison with `predict`
RAY_PICTURES = 200_000
MEMORY = (1_000, 100_000, 1_000_000)  # pictures
FILES = (1_000, 1_000)  # folders, and files in each


def once(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation, least and most."""
    return {
        "mean": mean(values),
        "sd": stdev(values) if len(values) > 1 else 0.0,
        "min": min(values),
        "max": max(values),
    }


def pictures_of(kind: str, task: str) -> list[bytes]:
    """The pictures of a kind that are timed: single digits for `predict`, numbers for `read`."""
    from benchmarks.scale import material

    text = "7" if task == "predict" else "20417"
    source: dict[str, Callable[[], Iterator[bytes]]] = {
        "digit": material.digits,
        "crop": lambda: material.crops(text),
        "photo": lambda: material.photos(text),
    }
    return list(islice(source[kind](), KINDS[kind]))


def stages(folder: Path, kind: str, task: str) -> dict[str, float]:
    """Seconds of one picture on one core: decoding, finding the ink, the networks behind it, reading and storing."""
    from benchmarks.scale import material
    from inkdigit.scale.listing import list_inputs
    from inkdigit.scale.manifest import Writer
    from inkdigit.scale.pictures import read_part
    from inkdigit.scale.rows import Job, Options, Worker
    from inkdigit.scale.storage import Place

    contents = pictures_of(kind, task)
    shard = material.write_tar(folder / f"{kind}-{task}.tar", iter(contents), len(contents))
    writer = Writer(folder / f"{kind}-{task}")
    list_inputs([Place.of(str(shard))], writer, rows=len(contents))
    (part,) = writer.finish({}).each_part()
    model = "general" if task == "predict" else "line"
    worker = Worker(Options(task, find_model(model)))  # type: ignore[arg-type]
    whole = once(lambda: worker(Job(part)))
    whole = min(whole, once(lambda: worker(Job(part))))
    decoded, ink, network = (_of_predict if task == "predict" else _of_read)(contents)
    n = len(contents)
    seconds = {"decode": decoded / n, "ink": ink / n, "network": network / n}
    read = once(lambda: list(read_part(part, []))) / n  # the least that the rest can be
    return {"whole": whole / n, **seconds, "rest": max(read, whole / n - sum(seconds.values()))}


def find_model(name: str) -> bytes:
    """The content of a bundled model."""
    from inkdigit.model.recognizer import find

    return find(name).read_bytes()


def _of_predict(contents: list[bytes]) -> tuple[float, float, float]:
    import numpy as np

    from inkdigit.model.recognizer import Recognizer
    from inkdigit.picture.decode import decode
    from inkdigit.picture.prepare import prepare

    recognizer = Recognizer.load("general", threads=1)
    grays = [decode(content) for content in contents]
    images = np.stack([prepare(gray, recognizer.prepare) for gray in grays])
    return (
        once(lambda: [decode(content) for content in contents]),
        once(lambda: [prepare(gray, recognizer.prepare) for gray in grays]),
        once(lambda: recognizer.predict(images)),
    )


def _of_read(contents: list[bytes]) -> tuple[float, float, float]:
    from inkdigit.picture.decode import decode_page
    from inkdigit.reading.finder import find
    from inkdigit.reading.reader import Reader

    reader = Reader.load()
    grays = [decode_page(content)[0] for content in contents]
    decoded = once(lambda: [decode_page(content) for content in contents])
    found = once(lambda: [find(gray) for gray in grays])
    whole = once(lambda: [reader.read_gray(gray) for gray in grays])
    return decoded, found, max(0.0, whole - found)


def part_kinds(folder: Path) -> dict[str, Any]:
    """Pictures a second on one core by kind and task, and where the time goes."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    return {f"{kind} {task}": stages(folder, kind, task) for kind in KINDS for task in ("predict", "read")}


def rate_of(shard: Path, out: Path, **options: Any) -> tuple[float, float]:
    """Pictures a second of a job: with its start, and from its first finished part to its last."""
    from inkdigit.scale.batch import batch

    seen: list[tuple[float, int]] = []
    began = time.perf_counter()
    done = batch(shard, out, on_progress=lambda p: seen.append((time.perf_counter(), p.done)), **options)
    ended = time.perf_counter()
    (first, rows), (last, all_rows) = seen[0], seen[-1]
    return done.rows / (ended - began), (all_rows - rows) / max(last - first, 1e-9)


def part_local(folder: Path) -> dict[str, Any]:
    """`batch` from a tar shard, against `Recognizer.predict` on the same bytes; one process against two."""
    from benchmarks.scale import material
    from inkdigit.model.recognizer import Recognizer

    shard = material.write_tar(folder / "digits.tar", material.digits(), COMPARED)
    contents = list(islice(material.digits(), COMPARED))
    recognizer = Recognizer.load("general")
    recognizer.predict(contents[:1000])
    rounds = []
    for number in range(ROUNDS):
        predicted = COMPARED / once(lambda: recognizer.predict(contents))
        two, steady = rate_of(shard, folder / f"two-{number}", workers=2)
        one, steady_one = rate_of(shard, folder / f"one-{number}", workers=1)
        rounds.append({"predict": predicted, "two": two, "two_steady": steady, "one": one, "one_steady": steady_one})
    return {
        "n": COMPARED,
        "rounds": rounds,
        "over_predict": spread([r["two"] / r["predict"] for r in rounds]),
        "steady_over_predict": spread([r["two_steady"] / r["predict"] for r in rounds]),
        "two_over_one": spread([r["two_steady"] / r["one_steady"] for r in rounds]),
    }


def part_ray(folder: Path) -> dict[str, Any]:
    """Ray on one machine against local processes, without their start."""
    from benchmarks.scale import material
    from inkdigit.scale.cluster import connected

    shard = material.write_tar(folder / "digits.tar", material.digits(), RAY_PICTURES)
    rounds = []
    with connected(workers=2):
        for number in range(3):
            local, local_steady = rate_of(shard, folder / f"local-{number}", workers=2)
            ray, ray_steady = rate_of(shard, folder / f"ray-{number}", workers=2, engine="ray")
            rounds.append({"local": local, "local_steady": local_steady, "ray": ray, "ray_steady": ray_steady})
    return {
        "n": RAY_PICTURES,
        "rounds": rounds,
        "ray_over_local": spread([r["ray_steady"] / r["local_steady"] for r in rounds]),
        "with_start": spread([r["ray"] / r["local"] for r in rounds]),
    }


def part_memory(folder: Path) -> dict[str, Any]:
    """Peak memory of the driver and of a worker, by the number of pictures."""
    from benchmarks.scale import material

    found: dict[str, Any] = {}
    for engine in ("local", "ray"):
        for count in MEMORY if engine == "local" else MEMORY[-1:]:
            shard = folder / f"{count}.tar"
            if not shard.exists():
                material.write_tar(shard, material.digits(), count)
            words = [sys.executable, "-m", "benchmarks.scale.measure", "--job", engine, str(shard)]
            done = subprocess.run(
                words, capture_output=True, encoding="utf-8", check=True, env=machine.environment(), cwd=machine.ROOT
            )
            found[f"{engine} {count}"] = json.loads(done.stdout.splitlines()[-1])
    return found


def job_memory(engine: str, shard: Path) -> dict[str, float]:
    """Do a job in this process; the peak memory of this process and of its largest worker, in MB."""
    from inkdigit.scale.batch import batch

    with tempfile.TemporaryDirectory(prefix="inkdigit-memory-", dir=shard.parent) as out:
        began = time.perf_counter()
        done = batch(shard, Path(out) / "out", engine=engine, workers=2)
        seconds = time.perf_counter() - began
    return {
        "rows": done.rows,
        "seconds": seconds,
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MB,
        "worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * MB,
    }


def part_listing(folder: Path) -> dict[str, Any]:
    """Time and peak memory of listing a million files."""
    root = folder / "files"
    for i in range(FILES[0]):
        (root / f"{i:04}").mkdir(parents=True)
        for k in range(FILES[1]):
            (root / f"{i:04}" / f"scan-of-a-form-{k:04}.png").touch()
    words = [sys.executable, "-m", "benchmarks.scale.measure", "--job", "list", str(root)]
    done = subprocess.run(
        words, capture_output=True, encoding="utf-8", check=True, env=machine.environment(), cwd=machine.ROOT
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def job_list(root: Path) -> dict[str, float]:
    """List a folder in this process."""
    from inkdigit.scale.batch import PART_ROWS
    from inkdigit.scale.listing import list_inputs
    from inkdigit.scale.manifest import Writer
    from inkdigit.scale.storage import Place

    writer = Writer(root.parent / "listed")
    seconds = once(lambda: list_inputs([Place.of(str(root))], writer, rows=PART_ROWS))
    rows = writer.finish({}).rows
    return {"rows": rows, "seconds": seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MB}


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "kinds": part_kinds,
    "local": part_local,
    "ray": part_ray,
    "memory": part_memory,
    "listing": part_listing,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the parts that are named, or all."""
    parser = results.parser(__doc__)
    parser.add_argument("parts", nargs="*", help=f"what to measure: {', '.join(PARTS)}; all without any")
    parser.add_argument("--job", nargs=2, metavar=("ENGINE", "SHARD"), help="one job in this process, for its memory")
    options = parser.parse_args(argv)
    if options.job:
        engine, shard = options.job
        print(json.dumps(job_list(Path(shard)) if engine == "list" else job_memory(engine, Path(shard))))
        return 0
    path = options.results / RESULT
    if len(options.parts) != 1:  # each in a process of its own
        for name in options.parts or PARTS:
            words = machine.script("scale.measure", name, "--results", options.results)
            subprocess.run(words, check=True, env=machine.environment())
        return 0
    for name in options.parts:
        about = results.stamp(LIBRARIES, command=f"python -m benchmarks.scale.measure {name}")
        with tempfile.TemporaryDirectory(prefix="inkdigit-scale-") as folder:
            figures = PARTS[name](Path(folder))
        print(name, json.dumps(figures, indent=1), flush=True)
        record = results.read(path) or {"smoke": False, "parts": {}}
        record["parts"][name] = {**about, "figures": figures}
        results.write(path, record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
