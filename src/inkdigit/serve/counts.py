"""What is counted for Prometheus, in one process or summed over several.

In: requests and answers. Out: the text of `/metrics`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from inkdigit.errors import InkdigitError, PictureError
from inkdigit.types import Prediction

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where worker processes lay their counts together
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counts:
    """The counts of a process."""

    def __init__(self) -> None:
        """Nothing was asked."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = own = CollectorRegistry()
        self._requests = Counter("inkdigit_requests", "Requests.", ["route", "status"], registry=own)
        self._seconds = Histogram(
            "inkdigit_request_seconds", "From headers to whole answer.", ["route"], buckets=BUCKETS, registry=own
        )
        self._pictures = Counter(
            "inkdigit_pictures", "Pictures, by what was answered.", ["model", "label"], registry=own
        )
        self._refused = Counter("inkdigit_refused_requests", "Requests, by the error.", ["kind"], registry=own)
        self._queue = Gauge("inkdigit_queue", "Work begun and waiting.", multiprocess_mode="livesum", registry=own)

    def request(self, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, exc: InkdigitError) -> None:
        """A request was not answered."""
        self._refused.labels(exc.kind).inc()

    def pictures(self, model: str, answers: Iterable[Prediction | PictureError]) -> None:
        """Pictures were answered."""
        for answer in answers:
            if isinstance(answer, PictureError):
                label = f"error: {answer.kind}"
            else:
                label = answer.label if answer.label is not None else f"refused: {answer.reason}"
            self._pictures.labels(model, label).inc()

    def queue(self, count: int) -> None:
        """`count` more calls are at work or wait, or fewer if it is below 0."""
        self._queue.inc(count)

    def text(self) -> bytes:
        """All counts, those of the other worker processes included, as Prometheus reads them."""
        folder = os.environ.get(FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        _forget_the_dead(Path(folder))
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """A process that was killed waits for nothing any more; what it counted stays counted."""
    if sys.platform == "win32":
        return  # signal 0 is Ctrl-C there
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except OSError:
            continue
