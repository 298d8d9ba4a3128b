"""The engine `ray`: actors of a cluster, from Ray Data.

Ray Data starts the actors, gives them jobs as they are free, holds back what the caller has not taken yet, and does a
job again if its process or its machine is lost. What a job raises comes back as its result: an actor that fails would
be started again and again.
"""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from importlib.metadata import version
from itertools import islice
from typing import Any

from inkdigit.errors import EngineError, InkdigitError, WorkersDied
from inkdigit.scale.cluster import check_version
from inkdigit.scale.engine import MAX_DEATHS, MEMORY_HINT, Work

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
        made, tries = ray.put(make), _count_tries()  # once for all actors
        rows = [{"number": i, "job": pickle.dumps(job)} for i, job in enumerate(jobs)]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            # In a list, so that each is fetched where it is needed.
            fn_constructor_args=(version("inkdigit"), [made, tries]),
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
        except ray.exceptions.RayTaskError:
            raise  # a bug
        except ray.exceptions.RayError as exc:
            raise EngineError(
                f"The cluster did not do the work: {(str(exc).strip().splitlines() or [type(exc).__name__])[-1]}",
                hint="Run the same command again: what is finished is kept.",
            ) from exc
        finally:
            ray.kill(tries)


class _Actor:
    """Does one job after the other."""

    def __init__(self, version_there: str, references: list[Any]) -> None:
        self._version, (self._made, self._tries) = version_there, references
        self._work: Work[Any, Any] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        results = [pickle.dumps(self._do(*each)) for each in zip(batch["number"], batch["job"], strict=True)]
        return {"number": list(batch["number"]), "result": results}

    def _do(self, number: int, job: bytes) -> Any:
        import ray

        try:
            if ray.get(self._tries.begin.remote(int(number))) > MAX_DEATHS:
                what = pickle.loads(job)
                raise WorkersDied(f"{MAX_DEATHS} processes died with the same work: {what}", hint=MEMORY_HINT)
            if self._work is None:
                check_version(self._version)  # before anything is unpickled that it may not know
                make: Callable[[], Work[Any, Any]] = ray.get(self._made)
                self._work = make()
            return self._work(pickle.loads(job))
        except InkdigitError as exc:
            return exc


class _Tries:
    """Counts how often each job was begun: Ray Data would try one whose process dies for ever."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        self._begun[number] += 1
        return self._begun[number]


def _count_tries() -> Any:
    """A `_Tries` on this machine, without which there is no job."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    counted: Any = ray.remote(_Tries)
    return counted.options(num_cpus=0, scheduling_strategy=here).remote()


def _be_quiet(context: Any) -> None:
    """No bars and no lines of Ray Data's own: the caller has a bar."""
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
