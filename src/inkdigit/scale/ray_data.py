"""The engine `ray`: actors of a cluster, from Ray Data.

Ray Data starts the actors, gives them jobs as they are free, holds back what the caller has not taken yet, and does a
job again if its process or its machine is lost. What a job raises comes back as its result: an actor that fails would
be started again and again.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any

from inkdigit.errors import EngineError, InkdigitError
from inkdigit.scale.engine import Work

# Jobs of one dataset of Ray: so many, or more where there are many actors. All of them are in memory, those of single
# pictures with their names (a third of a megabyte each), and at the end some actors wait for the last.
WINDOW, WINDOW_PER_WORKER = 200, 4


class RayData:
    """Actors on the cluster that is connected."""

    def __init__(self, workers: int) -> None:
        """Use so many actors at most, as the cluster has processors for them."""
        self._workers = workers

    def run(self, make: Callable[[], Work[Any, Any]], jobs: Iterable[Any]) -> Generator[tuple[Any, Any]]:
        """See `engine.Engine.run`."""
        source = iter(jobs)
        while window := list(islice(source, max(WINDOW, WINDOW_PER_WORKER * self._workers))):
            yield from self._run(make, window)

    def _run(self, make: Callable[[], Work[Any, Any]], jobs: list[Any]) -> Iterator[tuple[Any, Any]]:
        import ray
        import ray.data

        _be_quiet(ray.data.DataContext.get_current())
        made = ray.put(make)  # once for all actors
        rows = [{"number": i, "job": pickle.dumps(job)} for i, job in enumerate(jobs)]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=([made],),  # in a list, so that it is fetched where it is needed
            batch_size=1,
            batch_format="numpy",
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(self._workers, len(jobs))),
        )
        seen: set[int] = set()  # a job that was done twice has the same result twice
        try:
            for row in dataset.iter_rows():
                if row["number"] in seen:
                    continue
                seen.add(row["number"])
                result = pickle.loads(row["result"])
                if isinstance(result, InkdigitError):
                    raise result
                yield jobs[row["number"]], result
        except ray.exceptions.RayError as exc:
            raise EngineError(
                f"The cluster did not do the work: {(str(exc).strip().splitlines() or [type(exc).__name__])[-1]}",
                hint="Run the same command again: what is finished is kept.",
            ) from exc


class _Actor:
    """Does one job after the other."""

    def __init__(self, made: list[Any]) -> None:
        self._made = made
        self._work: Work[Any, Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        results = [pickle.dumps(self._do(pickle.loads(job))) for job in batch["job"]]
        return {"number": list(batch["number"]), "result": results}

    def _do(self, job: Any) -> Any:
        try:
            if self._work is None:
                import ray

                make: Callable[[], Work[Any, Any]] = ray.get(self._made[0])
                self._work = make()
            return self._work(job)
        except InkdigitError as exc:
            return exc


def _be_quiet(context: Any) -> None:
    """No bars and no lines of Ray Data's own: the caller has a bar."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
