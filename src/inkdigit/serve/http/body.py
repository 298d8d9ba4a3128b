"""The body of a request while it arrives, within the limits of its size and its time.

In: pieces of a body. Out: the same pieces, or an error as soon as a limit is passed.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive

from inkdigit.errors import RequestTooLarge, TooSlow
from inkdigit.serve.service import Service


class Body:
    """The body of a request while it arrives: limited in size and time, and counted against all bodies in memory."""

    def __init__(self, receive: Receive, service: Service) -> None:
        """Nothing has been read."""
        self._receive = receive
        self._service = service
        self._until: float | None = None
        self.size = 0

    async def __call__(self) -> Message:
        """The next piece.

        Raises:
            RequestTooLarge: the body is above the limit.
            TooSlow: the body did not arrive in time.
            Busy: all bodies together are too large.
        """
        settings = self._service.settings
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + settings.time_limit_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as exc:
            raise TooSlow(f"The request did not arrive within {settings.time_limit_s:g} s") from exc
        if piece := message.get("body"):
            self.size += len(piece)
            self._service.hold(len(piece))
            if self.size > settings.max_bytes:
                raise too_large(settings.max_bytes)
        return message

    def release(self) -> None:
        """The request is answered: its body is no longer in memory."""
        self._service.hold(-self.size)


def too_large(max_bytes: int) -> RequestTooLarge:
    """The error of a body above the limit."""
    return RequestTooLarge("The request is too large", expected=f"at most {max_bytes:,} bytes")
