"""The service behind its routes: loaded models, and a bounded pool of threads that answer with them.

In: `Settings`, work to do. Out: predictions, or an error of the tree. Nothing here knows HTTP.
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
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.decode import Opened, open_picture
from inkdigit.serve.counts import Counts
from inkdigit.serve.settings import Settings
from inkdigit.types import Prediction

T = TypeVar("T")

MAX_PIXELS = 16_000_000  # of a picture: four of them at a time are in memory whole, in all threads together
MAX_PIXELS_TOGETHER = 64_000_000  # of the pictures of a request
LONGEST_WAIT_S = 2.0  # that a request may have before it, as far as the last ones tell
ALWAYS_WAIT = 4  # calls a thread: so many may wait whatever they take
LATEST = 0.1  # the weight of the last call in the mean time that one takes
BODIES = 2  # times the largest body: what all that is being read and answered may hold together


class Service:
    """What every route uses: `request.app.state.service`."""

    def __init__(self, settings: Settings) -> None:
        """Load the models; each runs its self test.

        Raises:
            UsageError: no such model, or two of the same name.
            ModelFileError: a model file that cannot answer.
        """
        self.settings = settings
        self.recognizers: dict[str, Recognizer] = {}
        for model in settings.models:
            recognizer = Recognizer.load(model)
            if recognizer.name in self.recognizers:
                raise UsageError(f"Two models are called {recognizer.name!r}", expected="a name for each")
            self.recognizers[recognizer.name] = recognizer
            recognizer.predict(_photo())  # whatever is imported for a first photo is there before anybody waits for it
        self.default = next(iter(self.recognizers))
        self.ready = True
        self.counts = Counts()
        self.threads = cores()
        self.taken = 0  # calls at work and waiting
        self._held = 0  # bytes of bodies
        self._mean_s = 0.0
        self._free = asyncio.Semaphore(self.threads)  # who waits does so here, and leaves nothing when it is dropped
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="answer")

    def recognizer(self, name: str | None = None) -> Recognizer:
        """One of the loaded models by the name on its card; the first where none is named.

        Raises:
            NotFound: no loaded model has that name. It is never looked for anywhere else.
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
        """Fail before a request is read that would wait too long.

        Raises:
            Busy: as many calls as may wait do, or those that do are two seconds' work.
        """
        waiting = self.taken - self.threads
        is_long = waiting >= ALWAYS_WAIT * self.threads and waiting * self._mean_s > LONGEST_WAIT_S * self.threads
        if is_long or waiting >= self.settings.queue:
            raise _busy()

    def hold(self, size: int) -> None:
        """Hold `size` more bytes of bodies, or less if it is below 0.

        Raises:
            Busy: that is more than all bodies together may have.
        """
        self._held += size
        if size > 0 and self._held > BODIES * self.settings.max_bytes:
            raise _busy()

    async def work(self, call: Callable[[], T]) -> T:
        """Run `call` on a thread of the pool.

        Raises:
            Busy: there is no room for it.
            TooSlow: it took longer than the time limit. A call that was begun keeps its place until it ends; one that
                still waits is dropped, then or when nobody awaits it any more.
        """
        self.check_room()
        limit_s = self.settings.time_limit_s
        try:
            async with asyncio.timeout(limit_s) as clock:
                return await self._in_turn(call)
        except TimeoutError as exc:
            if not clock.expired():
                raise
            raise TooSlow(f"The answer took longer than {limit_s:g} s", hint="Send fewer or smaller pictures.") from exc

    async def answer(
        self, recognizer: Recognizer, pictures: list[bytes | PictureError]
    ) -> list[Prediction | PictureError]:
        """One answer a picture, in their order; one that cannot be read gives its error."""
        until = monotonic() + self.settings.time_limit_s
        answers = await self.work(lambda: _answers(recognizer, pictures, until=until))
        self.counts.pictures(recognizer.name, answers)
        return answers

    def close(self) -> None:
        """Let what is at work end; what waits is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _in_turn(self, call: Callable[[], T]) -> T:
        """Run `call` when a thread is free for it."""
        self._take(1)
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            self._take(-1)
            raise
        began = perf_counter()
        future = asyncio.wrap_future(self._pool.submit(call))
        future.add_done_callback(lambda _: self._give_back(perf_counter() - began))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be there to ask for it
        return await asyncio.shield(future)  # nobody may await it any more, but the thread is free only when it ends

    def _give_back(self, seconds: float) -> None:
        self._mean_s += LATEST * (seconds - self._mean_s)
        self._free.release()
        self._take(-1)

    def _take(self, count: int) -> None:
        self.taken += count
        self.counts.queue(count)


def check_time(until: float) -> None:
    """Fail in the midst of a call that nobody waits for any more.

    Raises:
        TooSlow: it is later than `until`, as `monotonic` has it.
    """
    if monotonic() > until:
        raise TooSlow("The pictures took too long")


def _answers(
    recognizer: Recognizer, pictures: list[bytes | PictureError], *, until: float
) -> list[Prediction | PictureError]:
    """The answers, if they are found `until` then: later nobody waits for them."""
    match pictures:
        case [bytes() as one]:  # the shortest way: most requests have one picture
            try:
                return [*recognizer.predict(open_picture(one, max_pixels=MAX_PIXELS))]
            except PictureError as exc:
                return [exc]
    answers = []
    for answer in recognizer.predict_each(_open(pictures)):  # one after the other: they share the memory with others
        check_time(until)
        answers.append(answer)
    return answers


def _open(pictures: list[bytes | PictureError]) -> list[Opened | PictureError]:
    """The pictures of a request, in place of one that cannot be opened or is too large its error.

    Raises:
        RequestTooLarge: they have too many pixels together.
    """
    opened, pixels = [], 0
    for picture in pictures:
        try:
            one = picture if isinstance(picture, PictureError) else open_picture(picture, max_pixels=MAX_PIXELS)
        except PictureError as exc:
            one = exc
        opened.append(one)
        pixels += one.pixels if isinstance(one, Opened) else 0
    if pixels > MAX_PIXELS_TOGETHER:
        raise RequestTooLarge(
            "The pictures of the request have too many pixels together",
            expected=f"at most {MAX_PIXELS_TOGETHER // 10**6} megapixels",
            received=f"{pixels:,}",
            hint="Send fewer at a time.",
        )
    return opened


def _photo() -> bytes:
    """A small drawing that takes the way of a photo."""
    picture = Image.fromarray(np.full((64, 64), 200, np.uint8))
    picture.paste(40, (28, 12, 36, 52))
    file = BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def _busy() -> Busy:
    return Busy("The service has more to do than it can", hint=f"Try again in {Busy.retry_after_s} s.")
