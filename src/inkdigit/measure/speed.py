"""The cost of answering on this machine: cold start, one image, many images; and the accuracy of the answers.

In: models by name, run directory or file. Out: a `Benchmark`, whose field names end in their units. Everything is timed
through `Recognizer.predict` or `inkdigit predict`, as users call them. MNIST is used where it exists, never downloaded.
"""

from __future__ import annotations

import platform
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image

import inkdigit.machine as machine
from inkdigit.data.sources import find as find_data
from inkdigit.data.sources import open_data
from inkdigit.errors import ModelFileError
from inkdigit.files import writing
from inkdigit.measure.metrics import evaluate
from inkdigit.model.recognizer import Recognizer, bundled
from inkdigit.model.recognizer import find as find_model
from inkdigit.picture.decode import Picture
from inkdigit.picture.prepare import prepare
from inkdigit.synth.drawn import digit
from inkdigit.types import DIGITS, SIDE, Dataset, Gray, Log, check_functions, silent

DRAWN = 100  # images that are drawn and then repeated: ten of each digit
WARM_UPS = 20  # calls that are not timed: the first are slower, until caches and threads are ready
BUSY = 0.5  # waiting processes for each core: with more, times are not reliable

# What `inkdigit predict` loads before the model.
LIBRARIES = "import inkdigit.cli.app, inkdigit.cli.predict, inkdigit.model.recognizer"

Clock = Callable[[], float]  # seconds from any fixed time


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is timed; more makes the figures steadier."""

    starts: int = 5  # new processes of each kind, after one that warms the disk cache
    calls: int = 1000  # with one image each: the p99 is the tenth from the top
    rounds: int = 9  # calls with many images, after one to warm up; an odd number has a middle one
    batch: int = 2000  # images of such a call: a fifth of MNIST's test split, enough to use every thread


FULL = Effort()
GLANCE = Effort(batch=256)  # where an estimate is enough


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that measured."""

    processor: str
    cores: int  # that this process may use
    system: str
    python: str
    onnxruntime: str
    load_before: float | None  # processes that needed a core in the minute before; None where the system has no figure

    @property
    def busy(self) -> bool:
        """Whether other processes were running, so that times are too long."""
        return (self.load_before or 0) > BUSY * self.cores


@dataclass(frozen=True, slots=True)
class ColdStart:
    """`inkdigit predict PICTURE` in new processes, timed from outside: medians."""

    starts: int
    cold_start_s: float  # all of it
    libraries_s: float  # Python and its imports; the rest is loading, the self test and the answer
    peak_mb: float | None  # 10^6 bytes, resident; None where the system has no figure


@dataclass(frozen=True, slots=True)
class Latency:
    """Calls with one image each."""

    calls: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Throughput:
    """Calls with many images each."""

    rounds: int
    batch: int  # images of one call
    pictures_per_s: float  # the median round
    best_pictures_per_s: float


@dataclass(frozen=True, slots=True)
class Accuracy:
    """The accuracy on MNIST's test split; `warning` as in `Metrics`."""

    n: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class ModelSpeed:
    """The figures of one model."""

    model: str  # as the user named it
    name: str  # on its card
    numbers: str  # float32 or int8
    file_kb: float  # 10^3 bytes
    parameters: int
    threads: int  # for many images
    accuracy: Accuracy | None  # None without MNIST, and for a model that does not read digits
    cold_start: ColdStart
    array: Latency  # one uint8 (28, 28)
    png: Latency  # the bytes of a file of 28×28 pixels
    batch: Throughput


@dataclass(frozen=True, slots=True)
class Benchmark:
    """The machine, and the models in the order in which they were named."""

    machine: Machine
    models: tuple[ModelSpeed, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as JSON types, not rounded."""
        return asdict(self)


def describe_machine() -> Machine:
    """The machine as it is now."""
    return Machine(
        processor=machine.processor(),
        cores=machine.cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=onnxruntime.__version__,
        load_before=machine.load(),
    )


def benchmark(models: Sequence[str] = (), *, effort: Effort = FULL, log: Log = silent) -> Benchmark:
    """Measure each of `models`, or each bundled model if there are none.

    Raises:
        UsageError: there is no such model.
        ModelFileError: a model file cannot answer, in this process or in a new one.
        DataError: MNIST exists but cannot be read.
        OutputError: the image that the new processes read cannot be written.
    """
    check_functions(log=log)
    paths = {model: find_model(model) for model in models or bundled()}
    recognizers = [Recognizer.load(path) for path in paths.values()]
    where = describe_machine()
    if where.busy:
        log(f"The machine is busy (load {where.load_before:.1f}): the times will be too long.")
    mnist = _open_mnist(recognizers, log=log)
    log("Cold start: new processes, one after another")
    starts = time_cold_starts([path.absolute() for path in paths.values()], effort)
    singles, many = f"{effort.calls:,}", f"{effort.rounds} times {effort.batch:,}"
    speeds = []
    for model, recognizer, start in zip(paths, recognizers, starts, strict=True):
        log(f"{model}: {singles} arrays and {singles} PNG files one at a time, {many} at once")
        opened = mnist if _reads_digits(recognizer) else {}
        speeds.append(_measure(model, recognizer, start, opened, effort, log=log))
    return Benchmark(where, tuple(speeds))


def time_cold_starts(models: Sequence[Path], effort: Effort = FULL) -> list[ColdStart]:
    """Answer one image with each model file in new processes; models take turns, so that a slow second slows all.

    Raises:
        ModelFileError: such a process fails.
        OutputError: the image cannot be written.
    """
    with _image_file() as image:
        answering = [["-m", "inkdigit", "predict", str(image), "--model", str(model)] for model in models]
        commands = [["-c", LIBRARIES], *answering]
        rounds = [[_start(command) for command in commands] for _ in range(effort.starts + 1)]
    libraries, *answers = zip(*rounds[1:], strict=True)
    libraries_s = median(sample.wall_s for sample in libraries)
    return [
        ColdStart(effort.starts, median(sample.wall_s for sample in samples), libraries_s, _median_peak(samples))
        for samples in answers
    ]


def time_singles(
    recognizer: Recognizer, pictures: Sequence[Picture], effort: Effort = FULL, *, clock: Clock = time.perf_counter
) -> Latency:
    """Answer `pictures` one at a time and in turn, `effort.calls` times after some calls to warm up."""
    times = []
    for number in range(WARM_UPS + effort.calls):
        picture = pictures[number % len(pictures)]
        began = clock()
        recognizer.predict(picture)
        times.append(clock() - began)
    p50, p99 = np.percentile(times[WARM_UPS:], (50, 99))
    return Latency(effort.calls, 1000 * float(p50), 1000 * float(p99))


def time_batches(
    recognizer: Recognizer, images: Gray, effort: Effort = FULL, *, clock: Clock = time.perf_counter
) -> Throughput:
    """Answer `images` uint8 (N, 28, 28) in one call, `effort.rounds` times after one call to warm up."""
    times = []
    for _ in range(effort.rounds + 1):
        began = clock()
        recognizer.predict(images)
        times.append(clock() - began)
    rates = [len(images) / seconds for seconds in times[1:]]
    return Throughput(effort.rounds, len(images), median(rates), max(rates))


def glance(recognizers: Sequence[Recognizer]) -> list[Throughput]:
    """Estimate the throughput of each model in a fraction of a second: smaller calls, with drawn digits."""
    images = np.resize(_drawn(len(DIGITS)), (GLANCE.batch, SIDE, SIDE))
    return [time_batches(recognizer, images, GLANCE) for recognizer in recognizers]


def _reads_digits(recognizer: Recognizer) -> bool:
    """Whether the model has the classes of MNIST."""
    return set(DIGITS) <= set(recognizer.classes)


def _open_mnist(recognizers: Sequence[Recognizer], *, log: Log) -> dict[str, Dataset]:
    """MNIST by kind of preprocessing, for the models that read digits; empty if this machine lacks its test split."""
    kinds = {recognizer.prepare for recognizer in recognizers if _reads_digits(recognizer)}
    available = find_data("mnist") is not None
    opened = {kind: open_data("mnist", prepare=kind, log=log) for kind in kinds if available}
    with_test = {kind: dataset for kind, dataset in opened.items() if dataset.test is not None}
    if len(with_test) < len(kinds):
        log("MNIST's test split is not on this machine: accuracy is not measured. Get it with: inkdigit data get mnist")
    return with_test


def _measure(
    model: str, recognizer: Recognizer, start: ColdStart, opened: dict[str, Dataset], effort: Effort, *, log: Log
) -> ModelSpeed:
    mnist, count = opened.get(recognizer.prepare), effort.batch
    images = mnist.part("test").images[:count] if mnist else np.resize(_drawn(DRAWN), (count, SIDE, SIDE))
    singles = list(images[:DRAWN])
    return ModelSpeed(
        model=model,
        name=recognizer.name,
        numbers=recognizer.card.numbers,
        file_kb=recognizer.path.stat().st_size / 1e3,
        parameters=recognizer.card.parameters,
        threads=recognizer.threads,
        accuracy=_accuracy(recognizer, mnist, log=log) if mnist else None,
        cold_start=start,
        array=time_singles(recognizer, singles, effort),
        png=time_singles(recognizer, [_png(image) for image in singles], effort),
        batch=time_batches(recognizer, images, effort),
    )


def _accuracy(recognizer: Recognizer, mnist: Dataset, *, log: Log) -> Accuracy:
    metrics = evaluate(recognizer, mnist, log=log)
    return Accuracy(metrics.n, metrics.accuracy, metrics.accuracy_ci95, metrics.warning)


def _start(words: Sequence[str]) -> machine.Sample:
    try:
        return machine.time_process([*machine.PYTHON, *words])
    except subprocess.CalledProcessError as exc:
        message = (exc.stderr.strip() or f"exit code {exc.returncode}").splitlines()[-1].rstrip(".")
        raise ModelFileError("A new process does not answer", received=message) from exc


def _median_peak(samples: Sequence[machine.Sample]) -> float | None:
    peaks = [sample.peak_mb for sample in samples if sample.peak_mb is not None]
    return median(peaks) if peaks else None


@contextmanager
def _image_file() -> Iterator[Path]:
    """A drawn digit as a PNG file that exists inside the block."""
    with ExitStack() as stack:
        with writing(Path("A temporary folder")):
            path = Path(stack.enter_context(TemporaryDirectory())) / "digit.png"
            path.write_bytes(_png(_drawn(1)[0]))
        yield path


def _drawn(n: int) -> Gray:
    """Prepared digits (n, 28, 28), as those of MNIST are."""
    rng = np.random.default_rng(0)
    return np.stack([prepare(digit(i % 10, rng=rng, size_px=SIDE)) for i in range(n)])


def _png(image: Gray) -> bytes:
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
