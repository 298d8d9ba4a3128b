"""Corrections under load: a service that collects is killed, has no room, or shares its file with another.

In: how many kills. Out: a `Drill` each. Every image that is sent contains a number of its own, so that what was
acknowledged can be identified: each exactly once, with the id in the answer, and with its complete image.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.hardening.soak_checks import broken
from benchmarks.hardening.soak_commands import Drill, check_success, run
from benchmarks.hardening.soak_material import Task
from benchmarks.serving import service

POSTERS = 4
PATIENCE_S = 60.0  # for one answer
LONGEST_S = 2.0  # of load, before a kill
FIRST_S = 30.0  # for the first correction to be stored
GROUP = ("setsid", *service.COMMAND)  # so that a kill reaches the workers too
DIGITS = "0123456789"
MODEL = "fast"
NO_ROOM = 507


@dataclass
class Sent:
    """What was sent, and what was acknowledged: the numbers in the images, and the ids in the answers."""

    numbers: Iterator[int] = field(default_factory=count)
    sent: set[int] = field(default_factory=set)
    acknowledged: dict[int, int] = field(default_factory=dict)  # number in the image → id of the correction
    unexpected: list[str] = field(default_factory=list)  # answers that were neither 201 nor cut off


def picture(number: int) -> bytes:
    """A PNG of 28×28 whose first pixels are the digits of a number."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[0, :8] = [20 * int(digit) + 1 for digit in f"{number:08d}"]
    pixels[8:20, 14] = 255
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def number_of(path: Path) -> int:
    """The number in a stored image."""
    with Image.open(path) as opened:
        return int("".join(str((int(pixel) - 1) // 20) for pixel in np.asarray(opened)[0, :8]))


def right_of(number: int) -> str:
    """The label that is sent with an image."""
    return DIGITS[number % 10]


def body(number: int) -> bytes:
    """A correction as JSON."""
    encoded = base64.b64encode(picture(number)).decode()
    correction = {"picture": encoded, "model": MODEL, "label": DIGITS[number // 10 % 10], "right": right_of(number)}
    return json.dumps({**correction, "agreed": True}).encode()


def collect(file: Path) -> tuple[str, ...]:
    """The options of a service that stores corrections."""
    return "--model", MODEL, "--collect", str(file)


def post(port: int, number: int) -> tuple[int, dict[str, object]]:
    """Send one correction on a connection of its own; the status and the answer."""
    connection = http.client.HTTPConnection(service.HOST, port, timeout=PATIENCE_S)
    try:
        connection.request("POST", "/corrections", body(number), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@contextmanager
def load(ports: Sequence[int], sent: Sent) -> Iterator[None]:
    """Send corrections from several threads for as long as the block lasts."""
    over = threading.Event()

    def work(port: int) -> None:
        while not over.is_set():
            number = next(sent.numbers)
            sent.sent.add(number)
            try:
                status, answer = post(port, number)
            except (OSError, http.client.HTTPException, ValueError):
                continue  # cut off: it may have been stored, or not
            if status == 201:
                sent.acknowledged[number] = int(str(answer["id"]))
            elif status != 503:
                sent.unexpected.append(f"status {status}: {answer}")
                return

    threads = [threading.Thread(target=work, args=(ports[i % len(ports)],)) for i in range(POSTERS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for(is_there: Callable[[], bool], *, seconds: float = FIRST_S) -> None:
    """Wait until something is there, or the time is over."""
    until = time.monotonic() + seconds
    while not is_there() and time.monotonic() < until:
        time.sleep(0.005)


def judge(file: Path, sent: Sent, *, place: Path) -> list[str]:
    """The problems of a file of corrections after all that was sent: lost, twice, or half."""
    listed = run(["corrections", "list", file, "--json"], cwd=place)
    if problem := check_success(listed):
        return [problem]
    ids = {entry["id"]: entry for entry in map(json.loads, listed.out.splitlines())}
    out = place / f"exported-{len(ids)}-{time.monotonic_ns()}"
    if ids and (problem := check_success(run(["corrections", "export", file, "--out", out], cwd=place))):
        return [problem]
    stored: dict[int, int] = {}
    problems = [problem] if (problem := broken(file)) else []
    for number, correction in ((number_of(path), int(path.stem)) for path in sorted(out.glob("*.png"))):
        if number in stored or number not in sent.sent:
            problems.append(f"image {number} is there twice, or was never sent")
        stored[number] = correction
        if ids[correction]["right"] != right_of(number):
            problems.append(f"correction {correction} has the label of another")
    lost = {number for number, correction in sent.acknowledged.items() if stored.get(number) != correction}
    if lost:
        problems.append(f"{len(lost)} corrections of {len(sent.acknowledged)} were acknowledged and are lost")
    if len(stored) != len(ids):
        problems.append(f"{len(ids)} corrections are listed, {len(stored)} have an image")
    return problems + sent.unexpected[:5]


def kill(drill: Drill, task: Task) -> None:
    """Kill a service, and all its processes, while it stores corrections; start it again with the same file."""
    place, rng, n = task.place, task.rng, task.n
    file, sent = place / "corrections.db", Sent()
    for number in range(n):
        if not drill.in_time():
            break
        workers, seconds, before = 1 + number % 2, rng.uniform(0, LONGEST_S), len(sent.acknowledged)
        words = (*collect(file), "--workers", str(workers))
        with service.running(*words, log=place / "serve.log", command=GROUP) as at, load([at.port], sent):
            wait_for(lambda before=before: len(sent.acknowledged) > before)
            time.sleep(seconds)
            with suppress(ProcessLookupError):
                os.killpg(at.pid, signal.SIGKILL)
        where = f"killed after {seconds:.2f} s, {workers} worker{'s' if workers > 1 else ''}"
        drill.n += 1
        drill.phases["load"] += 1
        if len(sent.acknowledged) == before:
            drill.check("no correction was stored before the kill", where=where)
        drill.intact += drill.check(judge(file, sent, place=place), where=where)
    drill.resumed = drill.intact  # each service except the first continued the file of a killed one
    drill.counts["acknowledged"] = len(sent.acknowledged)


def both(drill: Drill, task: Task) -> None:
    """Let two services store corrections in one file."""
    place, rng, n = task.place, task.rng, task.n
    for number in range(n):
        folder = place / str(number)
        folder.mkdir()
        file, sent = folder / "corrections.db", Sent()
        with (
            service.running(*collect(file), log=folder / "a.log") as a,
            service.running(*collect(file), log=folder / "b.log") as b,
            load([a.port, b.port], sent),
        ):
            wait_for(lambda sent=sent: len(sent.acknowledged) > POSTERS)
            time.sleep(rng.uniform(0.5, LONGEST_S))
        drill.n += 1
        drill.counts["acknowledged"] += len(sent.acknowledged)
        drill.intact += drill.check(judge(file, sent, place=folder), where=f"{len(sent.acknowledged)} corrections")
