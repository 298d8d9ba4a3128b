"""The counts for Prometheus, of one process or summed over several.

In: requests and answers. Out: the text of `/metrics`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from inkdigit.errors import InkdigitError, PictureError
from inkdigit.serve.asked import Found
from inkdigit.types import Prediction, Reading

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that names the folder of the counts of all worker processes
# Seconds: from a clean image (2 ms) to the default time limit, a factor of two or so between them.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Counts:
    """The counts of a process."""

    def __init__(self) -> None:
        """Start at zero."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = own = CollectorRegistry()
        self._requests = Counter("inkdigit_requests", "Requests.", ["route", "status"], registry=own)
        self._seconds = Histogram(
            "inkdigit_request_seconds",
            "From the headers to the complete response.",
            ["route"],
            buckets=BUCKETS,
            registry=own,
        )
        self._pictures = Counter("inkdigit_pictures", "Images, by answer.", ["model", "label"], registry=own)
        self._refused = Counter("inkdigit_refused_requests", "Requests that failed, by error.", ["kind"], registry=own)
        self._queue = Gauge("inkdigit_queue", "Calls that run or wait.", multiprocess_mode="livesum", registry=own)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a response."""
        self._requests.labels(route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def refused(self, exc: InkdigitError) -> None:
        """Count a request that failed."""
        self._refused.labels(exc.kind).inc()

    def pictures(self, model: str, answers: Iterable[Prediction | Reading | Found | PictureError]) -> None:
        """Count the answers to images; what numbers say is not told apart."""
        for answer in answers:
            if isinstance(answer, PictureError):
                label = f"error: {answer.kind}"
            elif isinstance(answer, Prediction):
                label = answer.label if answer.label is not None else f"refused: {answer.reason}"
            else:  # as JSON, a grid and a form have no reason of their own
                reason = answer.reason if isinstance(answer, Reading) else answer.get("reason")
                label = "read" if reason is None else f"refused: {reason}"
            self._pictures.labels(model, label).inc()

    def queue(self, count: int) -> None:
        """Count `count` more calls that run or wait, or fewer if it is below 0."""
        self._queue.inc(count)

    def text(self) -> bytes:
        """The counts of all worker processes, in the text format of Prometheus."""
        folder = os.environ.get(FOLDER)
        if folder is None:
            return generate_latest(self._registry)
        _forget_the_dead(Path(folder))
        together = CollectorRegistry()
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
        return generate_latest(together)


def _forget_the_dead(folder: Path) -> None:
    """Remove the queue of processes that were killed; their other counts stay."""
    if os.name == "nt":
        return  # signal 0 is Ctrl-C there
    for path in folder.glob("gauge_live*_*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except OSError:
            continue
