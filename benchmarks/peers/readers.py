"""Other programs that read whole numbers: PP-OCRv6-small (rapidocr), ddddocr and tesseract, each told to read digits.

In: the name of a reader, and a folder with PNG files and their list `labels.csv` (column `file`; labels are not
looked at). Out: lines of JSON on stdout: the first says what reads, with its version, each other one is an answer:
`file`, `text`, `ms` and `cpu_ms` (wall clock and processor time, from the file to the text). One picture at a time, on
one core; the first one is read once more before the clock runs. A reader that is not installed prints one line with
`missing`. It needs the peers' interpreter and Debian's tesseract-ocr, and nothing of Inkdigit. The weights of the
others are in their wheels, and nothing is fetched.

- `ppocr6`: PP-OCRv6-small's recogniser on the whole picture, its alphabet cut to the ten digits before decoding.
- `ppocr6-found`: the same recogniser on the lines that PP-OCRv6-small's own detector finds, from top to bottom.
- `ddddocr`: the network that ddddocr uses by default, its alphabet cut in the same way.
- `tesseract`: `--psm 7` (one line of text) and a whitelist of the digits; its time includes the start of the process.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DIGITS = "0123456789"
BLANK = 0  # the class of CTC that is no character, in both networks

Read = Callable[[Path], str]


class Missing(Exception):
    """A reader is not installed."""


def ppocr6() -> tuple[str, Read]:
    """PP-OCRv6-small without its detector."""
    engine = _rapidocr()
    return _version("rapidocr"), lambda path: _joined(engine(str(path), use_det=False, use_cls=False).txts)


def ppocr6_found() -> tuple[str, Read]:
    """PP-OCRv6-small with its detector."""
    engine = _rapidocr()
    return _version("rapidocr"), lambda path: _joined(engine(str(path), use_det=True, use_cls=False).txts)


def ddddocr() -> tuple[str, Read]:
    """Ddddocr as it is without options, but for the advertisement that it prints."""
    try:
        from ddddocr import DdddOcr
    except ImportError as exc:
        raise Missing(f"ddddocr is not installed ({exc})") from exc
    reader = DdddOcr(show_ad=False)
    engine = reader.ocr_engine
    engine.session = _Cut(engine.session, engine.get_charset())
    return _version("ddddocr"), lambda path: str(reader.classification(path.read_bytes()))


def tesseract() -> tuple[str, Read]:
    """Tesseract with its English network."""
    program = shutil.which("tesseract")
    if program is None:
        raise Missing("tesseract is not installed")
    options = ["stdout", "--psm", "7", "-c", f"tessedit_char_whitelist={DIGITS}"]
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}

    def read(path: Path) -> str:
        done = subprocess.run([program, str(path), *options], capture_output=True, encoding="utf-8", env=environment)
        if done.returncode:
            raise RuntimeError(f"tesseract failed: {done.stderr.strip()}")
        return done.stdout.strip()

    told = subprocess.run([program, "--version"], capture_output=True, encoding="utf-8", check=True).stdout
    return told.split()[1], read


READERS: dict[str, Callable[[], tuple[str, Read]]] = {
    "ppocr6": ppocr6,
    "ppocr6-found": ppocr6_found,
    "ddddocr": ddddocr,
    "tesseract": tesseract,
}


class _Cut:
    """A session of ONNX Runtime whose only output, scores of characters on the last axis, is cut to the digits."""

    def __init__(self, session: Any, characters: Sequence[str]) -> None:
        self._session = session
        self._characters = characters

    def run(self, names: Any, feed: Any) -> list[Any]:
        return [cut(self._session.run(names, feed)[0], self._characters)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def cut(scores: Any, characters: Sequence[str]) -> Any:
    """Scores of characters on the last axis, with the lowest score for all that is neither a digit nor blank."""
    kept = [BLANK, *(characters.index(digit) for digit in DIGITS)]
    left = np.full_like(scores, scores.min())
    left[..., kept] = scores[..., kept]
    return left


def _rapidocr() -> Any:
    """RapidOCR on one thread, with its recogniser cut to the digits."""
    try:
        from rapidocr import RapidOCR
    except ImportError as exc:
        raise Missing(f"rapidocr is not installed ({exc})") from exc
    engine = RapidOCR(params={"Global.log_level": "critical", "EngineConfig.onnxruntime.intra_op_num_threads": 1})
    # The recogniser is made at its first use; this is what `RapidOCR` calls then.
    recognizer = engine._load_rec_model()
    network, characters = recognizer.session, recognizer.postprocess_op.character
    recognizer.session = lambda batch: cut(network(batch), characters)
    return engine


def _joined(lines: Iterable[str] | None) -> str:
    return " ".join(lines or ())


def _version(package: str) -> str:
    return version(package)


def _on_one_core() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _cpu_s() -> float:
    """Processor time of this process and of those that it waited for."""
    import resource  # not on Windows, where the rest of this file can be imported

    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the pictures of a folder, and print what was read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reader", choices=READERS)
    parser.add_argument("folder", type=Path, help="with labels.csv and the pictures that it names")
    options = parser.parse_args(argv)
    with (options.folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    _on_one_core()
    try:
        found, read = READERS[options.reader]()
    except Missing as exc:
        _print({"reader": options.reader, "missing": str(exc)})
        return
    _print({"reader": options.reader, "version": found})
    for file in files[:1]:
        read(options.folder / file)
    for file in files:
        began, began_cpu = time.perf_counter(), _cpu_s()
        text = read(options.folder / file)
        ms, cpu_ms = 1000 * (time.perf_counter() - began), 1000 * (_cpu_s() - began_cpu)
        _print({"file": file, "text": text, "ms": round(ms, 2), "cpu_ms": round(cpu_ms, 2)})


def _print(line: dict[str, Any]) -> None:
    print(json.dumps(line, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
