"""The service behind its routes: loaded models, and a bounded pool of threads that answer with them.

In: `Settings`, calls to run. Out: predictions, or an error of the tree. This file does not know HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from time import monotonic, perf_counter
from typing import TypeVar

import numpy as np
from PIL import Image

from inkdigit.errors import Busy, NotFound, PictureError, RequestTooLarge, TooSlow, UsageError, did_you_mean
from inkdigit.machine import cores
from inkdigit.model.recognizer import Recognizer, find
from inkdigit.picture.decode import JPEG_SIDE_PX, PAGE_SIDE_PX, Opened, open_picture
from inkdigit.reading.reader import Reader
from inkdigit.serve.asked import Asked, Found
from inkdigit.serve.counts import Counts
from inkdigit.serve.settings import Settings
from inkdigit.types import Prediction

T = TypeVar("T")

MAX_PIXELS = 16_000_000  # of one image: all threads together decode four of them at a time
MAX_PIXELS_TOGETHER = 64_000_000  # of all images of a request: what is decoded at a time
MAX_WAIT_S = 2.0  # of a request in the queue, estimated from the latest calls: more feels like a failure
ALWAYS_WAIT = 4  # calls per thread that may wait however long the latest calls took: the estimate may be out of date
LATEST = 0.1  # weight of the latest call in the mean duration: ten calls outweigh one slow image
BODIES = 2  # times the largest body: the limit for all bodies in memory; one is read while one is answered


class Service:
    """The models and the threads, for every route: `request.app.state.service`."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = perf_counter) -> None:
        """Load the models; each runs its self test. `clock` times the calls, in seconds.

        Raises:
            UsageError: there is no such model, or two have the same name.
            ModelFileError: a model file cannot answer.
        """
        self.settings = settings
        self.recognizers: dict[str, Recognizer] = {}
        for model in settings.models:
            recognizer = Recognizer.load(model)
            if recognizer.name in self.recognizers:
                raise UsageError(f"Two models are called {recognizer.name!r}", expected="a different name for each")
            self.recognizers[recognizer.name] = recognizer
            recognizer.predict(_photo())  # imports what the first photo needs, before a user waits for it
        self.default = next(iter(self.recognizers))
        self.reader = Reader.load()
        of_package = (one for one in self.recognizers.values() if one.path == find("default"))
        self.cell_model = next(of_package, None) or Recognizer.load()  # what `inkdigit read --grid` asks
        self.ready = True
        self.counts = Counts()
        self.threads = cores()
        self.taken = 0  # calls that run or wait
        self._clock = clock
        self._held_bytes = 0  # of all bodies in memory
        self._mean_s = 0.0
        self._free = asyncio.Semaphore(self.threads)  # a call waits here; nothing remains of one that is cancelled
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="answer")

    def recognizer(self, name: str | None = None) -> Recognizer:
        """One of the loaded models by the name on its card; the first by default.

        Raises:
            NotFound: no loaded model has that name. A model is never loaded on request.
        """
        if name is None:
            return self.recognizers[self.default]
        if name not in self.recognizers:
            raise NotFound(
                f"This service has no model {name[:80]!r}",
                expected=", ".join(self.recognizers),
                hint=did_you_mean(name[:80], self.recognizers),
            )
        return self.recognizers[name]

    def check_room(self) -> None:
        """Fail before a request is read that would have to wait too long.

        Raises:
            Busy: the queue is full, or its calls will take more than `MAX_WAIT_S`.
        """
        waiting = self.taken - self.threads
        is_long = waiting >= ALWAYS_WAIT * self.threads and waiting * self._mean_s > MAX_WAIT_S * self.threads
        if is_long or waiting >= self.settings.queue:
            raise _busy()

    def hold(self, size: int) -> None:
        """Count `size` more bytes of bodies in memory, or fewer if it is below 0.

        Raises:
            Busy: all bodies together are too large.
        """
        self._held_bytes += size
        if size > 0 and self._held_bytes > BODIES * self.settings.max_bytes:
            raise _busy()

    async def work(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread of the pool.

        Raises:
            Busy: the queue is full.
            TooSlow: the call took longer than the time limit. A call that has started holds its thread until it ends;
                one that still waits is dropped, then or when its task is cancelled.
        """
        self.check_room()
        limit_s = self.settings.time_limit_s
        try:
            async with asyncio.timeout(limit_s) as clock:
                return await self._run(call)
        except TimeoutError as exc:
            if not clock.expired():
                raise
            raise TooSlow(f"The answer took longer than {limit_s:g} s", hint="Send fewer or smaller images.") from exc

    async def answer(
        self, recognizer: Recognizer, pictures: list[bytes | PictureError]
    ) -> list[Prediction | PictureError]:
        """One answer per image, in their order; the answer to an image that cannot be read is its error."""
        until = monotonic() + self.settings.time_limit_s
        answers = await self.work(lambda: _answers(recognizer, pictures, until=until))
        self.counts.pictures(recognizer.name, answers)
        return answers

    async def read(self, pictures: list[bytes | PictureError], asked: Asked) -> list[Found | PictureError]:
        """What is asked of each image, in their order; the answer to an image that cannot be read is its error."""
        until = monotonic() + self.settings.time_limit_s
        answers = await self.work(lambda: _found(asked, pictures, until=until))
        self.counts.pictures(asked.model, answers)
        return answers

    def close(self) -> None:
        """Wait for the calls that run, and drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, call: Callable[[], T]) -> T:
        """Run `call` as soon as a thread is free."""
        self._take(1)
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            self._take(-1)
            raise
        began = self._clock()
        future = asyncio.wrap_future(self._pool.submit(call))
        future.add_done_callback(lambda _: self._give_back(self._clock() - began))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # retrieved, if nobody awaits it
        return await asyncio.shield(future)  # a cancelled task leaves it running: the thread is busy until it ends

    def _give_back(self, seconds: float) -> None:
        self._mean_s += LATEST * (seconds - self._mean_s)
        self._free.release()
        self._take(-1)

    def _take(self, count: int) -> None:
        self.taken += count
        self.counts.queue(count)


def check_time(until: float) -> None:
    """Stop a call whose request has timed out.

    Raises:
        TooSlow: it is later than `until`, a time of `monotonic`.
    """
    if monotonic() > until:
        raise TooSlow("The images took too long")


def _answers(
    recognizer: Recognizer, pictures: list[bytes | PictureError], *, until: float
) -> list[Prediction | PictureError]:
    """The answers, if there is time `until` then: after that nobody waits for them."""
    match pictures:
        case [bytes() as single]:  # the fastest code path: most requests have one image
            try:
                return [*recognizer.predict(open_picture(single, max_pixels=MAX_PIXELS))]
            except PictureError as exc:
                return [exc]
    answers = []
    for answer in recognizer.predict_each(_open(pictures)):  # one by one: other requests need memory too
        check_time(until)
        answers.append(answer)
    return answers


def _found(asked: Asked, pictures: list[bytes | PictureError], *, until: float) -> list[Found | PictureError]:
    """What is asked of the images, if there is time `until` then."""
    answers: list[Found | PictureError] = []
    for picture in _open(pictures, side_px=PAGE_SIDE_PX):
        try:
            if isinstance(picture, PictureError):
                raise picture
            answers.append(asked.answer(picture, lambda: check_time(until)))
        except PictureError as exc:
            answers.append(exc)
        check_time(until)
    return answers


def _open(pictures: list[bytes | PictureError], *, side_px: int = JPEG_SIDE_PX) -> list[Opened | PictureError]:
    """Open the images of a request; the error of an image that cannot be opened, or is too large, takes its place.

    Raises:
        RequestTooLarge: they have too many pixels together.
    """
    opened: list[Opened | PictureError] = []
    for picture in pictures:
        if isinstance(picture, PictureError):
            opened.append(picture)
            continue
        try:
            opened.append(open_picture(picture, max_pixels=MAX_PIXELS, side_px=side_px))
        except PictureError as exc:
            opened.append(exc)
    pixels = sum(image.pixels for image in opened if isinstance(image, Opened))
    if pixels > MAX_PIXELS_TOGETHER:
        raise RequestTooLarge(
            "The images of the request have too many pixels together",
            expected=f"at most {MAX_PIXELS_TOGETHER // 10**6} megapixels",
            received=f"{pixels:,}",
            hint="Send fewer images at a time.",
        )
    return opened


def _photo() -> bytes:
    """A small drawing that is prepared like a photo."""
    picture = Image.fromarray(np.full((64, 64), 200, np.uint8))
    picture.paste(40, (28, 12, 36, 52))
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _busy() -> Busy:
    return Busy("The service is too busy", hint=f"Try again in {Busy.retry_after_s} s.")
