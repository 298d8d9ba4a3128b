"""A disk that is full: every command that writes, and the service.

In: an empty folder. Out: a `Drill` each; `n` counts commands. The disk is a tmpfs of a few megabytes; where mounting is
refused, a limit on the size of files (RLIMIT_FSIZE) replaces it. Expected are exit code 9, one line on stderr, and no
file that is half-written: absent, the old one, or complete.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.hardening.soak_checks import can_be_resumed, compare_runs, half_written, left_aside
from benchmarks.hardening.soak_commands import FULL, Drill, Ended, check_refusal, check_success, run, start
from benchmarks.hardening.soak_corrections import NO_ROOM, Sent, collect, judge, post
from benchmarks.hardening.soak_kills import adaptation, old_or_complete, search
from benchmarks.hardening.soak_material import DATA, Material, Task
from benchmarks.serving import service
from inkdigit import runs

Words = Sequence[str | Path]
SIZE = "4m"
FILLER = "filler"
PAGE = 4096  # bytes that a tmpfs gives at a time
OLD = b"the old file\n"
OK, CREATED = 200, 201
SENT = 20  # corrections in each stage
# The free bytes (None: all) and the expected answers: the last page may be enough for one more.
STAGES = ((None, {CREATED}), (0, {NO_ROOM}), (PAGE, {CREATED, NO_ROOM}), (None, {CREATED}), (0, {NO_ROOM}))
# Free bytes when a training begins: nothing, not enough for the first epoch, the last, the model, the page.
TRAINING_ROOM = (0, 5 * PAGE, 8 * PAGE, 12 * PAGE, 100 * PAGE)
SEARCH_ROOM = (20 * PAGE, 40 * PAGE)  # not enough for the trials, for the page


@dataclass(frozen=True)
class Disk:
    """A small disk."""

    folder: Path
    mounted: bool

    def leave(self, size: int) -> int | None:
        """Fill it except for `size` bytes; return the limit of a file, where nothing is mounted."""
        self.leave_all()
        if not self.mounted:
            return size
        about = os.statvfs(self.folder)
        (self.folder / FILLER).write_bytes(bytes(max(0, about.f_bavail * about.f_frsize - size)))
        return None

    @property
    def codes(self) -> set[int]:
        """The exit codes of a command without room: a limit on all files also affects files that are only read."""
        return {FULL} if self.mounted else {2, 4, FULL}

    def check_fit(self, ended: Ended) -> str | None:
        """The problem with a command that should find no room; a limit on each file may still be enough."""
        return None if ended.code == 0 and not self.mounted else self.check_full(ended)

    def check_full(self, ended: Ended) -> str | None:
        """The problem with a command that found no room; None if it says so, about the right place."""
        problem = check_refusal(ended, codes=self.codes)
        return problem or (f"{ended}; it was not stdout" if "stdout" in ended.last else None)

    def leave_all(self) -> None:
        """Free all of the room."""
        (self.folder / FILLER).unlink(missing_ok=True)

    def empty(self) -> None:
        """Remove everything."""
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk of a few megabytes at `folder`, which is always unmounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, mounted)
    finally:
        if mounted and subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass(frozen=True)
class Case:
    """A command that writes `target` on the disk; its words end where the path of the target belongs."""

    words: Words
    target: str


def short_cases(material: Material) -> list[Case]:
    """The commands that need no torch."""
    return [
        Case(["predict", material.picture, "--show"], "seen.png"),
        Case(["submit", material.test_csv, "--model", "fast", "--out"], "submission.csv"),
        Case(["corrections", "export", material.corrections, "--out"], "corrections"),
        Case(["evaluate", "fast", "--data", DATA, "--corruptions", "--limit", "2", "--out"], "corrupted"),
    ]


def long_cases(material: Material) -> list[Case]:
    """The commands that need torch."""
    model = material.run(0)
    formats = {"safetensors": "w.safetensors", "onnx-int8": "int8.onnx", "keras": "model.keras", "pt2": "program.pt2"}
    return [
        Case(["explain", material.picture, "--model", model, "--out"], "explained.html"),
        Case(["compare", model, material.run(1), "--out"], "compared.html"),
        *(Case(["export", model, "--format", name, "--out"], file) for name, file in formats.items()),
        Case(["ensemble", model, material.run(1), "--out"], "joined.onnx"),
        Case(adaptation(material, material.model, seed=0), "adapted.onnx"),
        Case(["audit", material.train_csv, "--recipe", material.start, "--folds", "2", "--out"], "audit"),
        Case(search(material, Path())[:-1], "search"),
        Case(["kaggle", material.train_csv, material.test_csv, "--recipe", material.recipe, "--out"], "kaggle.csv"),
        Case([*material.train(Path(), seed=0)[:-4], "--seeds", "0-1", "--out"], "seeds"),
    ]


def temporary(drill: Drill, task: Task) -> None:
    """Leave no room for temporary files, only for the final file."""
    model, place = task.material.run(0), task.place
    commands: list[Case] = [
        Case(["export", model, "--format", "onnx-int8", "--out"], "int8.onnx"),
        Case(["export", model, "--format", "keras", "--out"], "model.keras"),
        Case(["export", model, "--format", "pt2", "--out"], "program.pt2"),
        Case(adaptation(task.material, task.material.model, seed=0), "adapted.onnx"),
        Case(["ensemble", model, task.material.run(1), "--out"], "joined.onnx"),
    ]
    with small_disk(place / "disk") as disk:
        for case in commands[: task.n]:
            target = place / case.target
            limit = disk.leave(2 * PAGE)
            ended = start([*case.words, target], cwd=place, limit=limit, more={"TMPDIR": str(disk.folder)}).end()
            problems = [check_success(ended) and disk.check_full(ended), old_or_complete(target, None)]
            disk.empty()
            drill.n += 1
            drill.counts["succeeded"] += ended.code == 0
            drill.intact += drill.check(
                [problem for problem in problems if problem], where="no room for temporary files"
            )


def short_files(drill: Drill, task: Task) -> None:
    """Let the quick commands write on a disk that is full, or has room for a page."""
    _files(drill, short_cases(task.material)[: task.n], task.place, (0, PAGE))


def long_files(drill: Drill, task: Task) -> None:
    """Let the others write on a disk that has little room."""
    _files(drill, long_cases(task.material)[: task.n], task.place, (2 * PAGE,))


def _files(drill: Drill, cases: Sequence[Case], place: Path, rooms: Sequence[int]) -> None:
    with small_disk(place / "disk") as disk:
        drill.counts["mounted"] = int(disk.mounted)
        for case in cases:
            for room in rooms:
                if drill.in_time():
                    _write(drill, case, disk, room, old=OLD if room else None)


def _write(drill: Drill, case: Case, disk: Disk, room: int, *, old: bytes | None) -> None:
    """One command; if the room was enough, it succeeds and its file is complete."""
    disk.empty()
    target = disk.folder / case.target
    old = old if target.suffix else None  # a folder is a new one
    if old is not None:
        target.write_bytes(old)
    limit = disk.leave(room)
    ended = run([*case.words, target], cwd=disk.folder, limit=limit)
    disk.leave_all()
    problems = [problem] if (problem := check_success(ended) and disk.check_full(ended)) else []
    if target.suffix and (problem := old_or_complete(target, old)):
        problems.append(problem)
    elif not target.suffix:
        problems += half_written(disk.folder)
    problems += [f"{path.name} is left" for path in left_aside(disk.folder)]
    drill.n += 1
    drill.counts["succeeded"] += ended.code == 0
    drill.intact += drill.check(problems, where=f"{case.words[0]}, {room} bytes free")


def training(drill: Drill, task: Task) -> None:
    """Train on a disk that fills up at several stages; then free the disk and resume the run."""
    material, place, n = task.material, task.place, task.n
    with small_disk(place / "disk") as disk:
        drill.counts["mounted"] = int(disk.mounted)
        out = disk.folder / "run"
        for room in TRAINING_ROOM[:n]:
            disk.empty()
            where = f"{room} bytes free"
            ended = run(material.train(out, seed=0), cwd=place, limit=disk.leave(room))
            well = drill.check(disk.check_fit(ended), where=where)
            disk.leave_all()
            drill.n += 1
            drill.intact += drill.check(half_written(out), where=where) and well
            if runs.is_finished(out):
                drill.check(compare_runs(out, material.run(0)), where=where)
            elif can_be_resumed(out):
                drill.check(check_success(run(["train", "--resume", out], cwd=place)), where=where)
                drill.resumed += drill.check(compare_runs(out, material.run(0)), where=f"{where}, resumed")
            else:
                drill.resumed += drill.check(
                    check_refusal(run(["train", "--resume", out], cwd=place), codes={2, 4}), where=f"{where}, not begun"
                )


def searching(drill: Drill, task: Task) -> None:
    """Search on a disk that fills up; then free the disk and run the same command again."""
    with small_disk(task.place / "disk") as disk:
        out = disk.folder / "search"
        words = search(task.material, out)
        for room in SEARCH_ROOM[: task.n]:
            disk.empty()
            where = f"{room} bytes free"
            ended = run(words, cwd=task.place, limit=disk.leave(room))
            well = drill.check(disk.check_fit(ended), where=where)
            disk.leave_all()
            drill.n += 1
            drill.intact += drill.check(half_written(out), where=where) and well
            drill.resumed += drill.check(check_success(run(words, cwd=task.place)) or half_written(out), where=where)


def collecting(drill: Drill, task: Task) -> None:
    """Send corrections to a service whose disk is full: it answers 507, continues, and stores others later."""
    with small_disk(task.place / "disk") as disk:
        drill.counts["mounted"] = int(disk.mounted)
        file, sent, log = disk.folder / "corrections.db", Sent(), task.place / "serve.log"
        with service.running(*collect(file), log=log) as at:
            problems = [problem for stage in STAGES for problem in _collect(drill, disk, at, sent, *stage)]
            disk.leave_all()
        if "Traceback" in log.read_text(encoding="utf-8", errors="replace"):
            problems.append("a traceback in the log")
        drill.counts["acknowledged"] = len(sent.acknowledged)
        problems += judge(file, sent, place=task.place)
        drill.intact += drill.n * drill.check(problems[:20], where="service")


def _collect(
    drill: Drill, disk: Disk, at: service.Service, sent: Sent, room: int | None, right: set[int]
) -> Iterator[str]:
    """Send some while `room` bytes are free; yield each answer whose status is not in `right`."""
    disk.leave_all()
    limit = None if room is None else disk.leave(room)
    size = resource.RLIM_INFINITY if limit is None else limit
    resource.prlimit(at.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for number in islice(sent.numbers, SENT):
        sent.sent.add(number)
        status, answer = post(at.port, number)
        drill.n += 1
        if status == CREATED:
            sent.acknowledged[number] = int(str(answer["id"]))
        if status not in right:
            yield f"status {status} with {room} bytes free: {answer}"
    if at.get("/health/ready") != OK:
        yield "the service is not ready any more"
