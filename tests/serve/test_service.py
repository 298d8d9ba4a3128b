"""The pool behind the routes: what waits, what is refused, what is dropped."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from inkdigit.errors import Busy, NotFound, PictureError, TooSlow, UsageError
from inkdigit.serve.service import ALWAYS_WAIT, BODIES, Service
from inkdigit.serve.settings import Settings

from .conftest import START_S, run_async


@pytest.fixture
def service(tiny_file: Path) -> Iterator[Service]:
    made = Service(Settings(models=(str(tiny_file),), queue=2, max_bytes=1000))
    yield made
    made.close()


async def fill(service: Service, gate: threading.Event, count: int) -> list[asyncio.Task]:
    """Calls that wait for the gate."""
    tasks = [asyncio.create_task(service.work(lambda: gate.wait(START_S))) for _ in range(count)]
    await asyncio.sleep(0.05)
    return tasks


async def emptied(service: Service) -> None:
    """Wait until no call is at work."""
    async with asyncio.timeout(START_S):
        while service.taken:
            await asyncio.sleep(0.01)


def test_a_full_queue_refuses_and_an_emptied_one_does_not(service):
    async def go() -> None:
        gate = threading.Event()
        tasks = await fill(service, gate, service.threads + 2)
        with pytest.raises(Busy):
            service.check_room()
        with pytest.raises(Busy):
            await service.work(lambda: 1)
        gate.set()
        assert await asyncio.gather(*tasks) == [True] * len(tasks)
        assert await service.work(lambda: 1) == 1
        assert service.taken == 0

    run_async(go())


def test_whom_two_seconds_of_work_stand_before_is_refused(tiny_file):
    service = Service(Settings(models=(str(tiny_file),), queue=1000))

    async def go() -> None:
        for _ in range(30):
            await service.work(lambda: time.sleep(0.02))
        gate = threading.Event()
        tasks = await fill(service, gate, service.threads + 1000)
        refused = [task for task in tasks if task.done()]
        assert {type(task.exception()) for task in refused} == {Busy}
        assert 5 <= (len(tasks) - len(refused)) / service.threads <= 105  # two seconds' worth, at 20 ms and more each
        gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    run_async(go())
    service.close()


def test_some_may_wait_whatever_the_last_took(tiny_file):
    clock = count(step=100)  # each call takes 100 s or more
    service = Service(Settings(models=(str(tiny_file),)), clock=clock.__next__)

    async def go() -> None:
        await service.work(lambda: None)
        gate = threading.Event()
        tasks = await fill(service, gate, service.threads * (1 + ALWAYS_WAIT))
        assert not any(task.done() for task in tasks)
        with pytest.raises(Busy):
            service.check_room()
        gate.set()
        await asyncio.gather(*tasks)

    run_async(go())
    service.close()


def test_work_that_nobody_awaits_any_more_holds_nothing(service):
    class Body:
        """Bytes that a weak reference can follow."""

    async def go() -> None:
        gate = threading.Event()
        tasks = await fill(service, gate, service.threads)
        bodies = []
        for _ in range(100):
            body = Body()
            bodies.append(weakref.ref(body))
            late = asyncio.create_task(service.work(lambda body=body: body))
            await asyncio.sleep(0)
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
            del body, late
        await asyncio.sleep(0.01)  # the loop itself holds what it ran last
        gc.collect()
        assert [ref for ref in bodies if ref() is not None] == []
        assert service.taken == service.threads
        gate.set()
        await asyncio.gather(*tasks)

    run_async(go())


def test_work_that_nobody_awaits_any_more_is_not_begun(service):
    async def go() -> None:
        gate, done = threading.Event(), []
        tasks = await fill(service, gate, service.threads)
        late = asyncio.create_task(service.work(lambda: done.append(1)))
        await asyncio.sleep(0.05)
        late.cancel()
        await asyncio.sleep(0.05)
        gate.set()
        await asyncio.gather(*tasks)
        await emptied(service)
        assert done == []

    run_async(go())


def test_work_that_takes_too_long_is_left_alone_and_keeps_its_place(tiny_file):
    service = Service(replace(Settings(), models=(str(tiny_file),), time_limit_s=0.1))

    async def go() -> None:
        gate = threading.Event()
        with pytest.raises(TooSlow):
            await service.work(lambda: gate.wait(START_S))
        assert service.taken == 1
        gate.set()
        await emptied(service)

    run_async(go())
    service.close()


def test_an_error_of_the_work_comes_out_as_it_is(service):
    def fail() -> None:
        raise TimeoutError("of its own")

    with pytest.raises(TimeoutError, match="of its own"):
        run_async(service.work(fail))


def test_bodies_have_only_so_much_room_together(service):
    for _ in range(BODIES):
        service.hold(1000)
    with pytest.raises(Busy):
        service.hold(1)
    service.hold(-1001)
    service.hold(500)


def test_a_picture_that_is_in_error_is_answered_with_it(service, seven):
    error = PictureError("It was bad before")

    async def go() -> None:
        recognizer = service.recognizer()
        assert await service.answer(recognizer, [error]) == [error]
        one, other, third = await service.answer(recognizer, [seven, error, b"no picture"])
        assert (one.label, other, type(third).__name__) == ("7", error, "NotAPicture")

    run_async(go())


def test_models_by_the_name_on_their_card(service, tiny_file):
    assert service.recognizer() is service.recognizer("tiny")
    with pytest.raises(NotFound, match=r"no model 'tini'.*Expected: tiny.*Did you mean tiny\?"):
        service.recognizer("tini")
    with pytest.raises(UsageError, match="Two models are called 'tiny'"):
        Service(Settings(models=(str(tiny_file), str(tiny_file))))
    with pytest.raises(UsageError, match="There is no model"):
        Service(Settings(models=("nothing",)))
