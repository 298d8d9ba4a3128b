"""The service's log: one line of JSON an event, on stderr.

In: what happened. Out: lines. What uvicorn has to say comes in the same form; nothing of a picture is ever in it.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


def write(event: str, *, level: str = "info", **fields: Any) -> None:
    """One line, whole: several threads and processes write to the same place."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "level": level, "event": event, **fields}, ensure_ascii=True)
    try:
        sys.stderr.write(f"{line}\n")
    except OSError:
        return  # nobody reads any more, or the disk is full: that is no reason not to answer
    except ValueError:
        return  # closed


def start() -> None:
    """Have the warnings and errors of uvicorn and of the event loop come as lines of ours.

    What is wrong with a form is not logged besides: whoever sent it has it as an answer.
    """
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_Lines()]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


class _Lines(logging.Handler):
    """A record of `logging` as one of our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, its traceback in one field."""
        fields = {}
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        write("server", level=record.levelname.lower(), message=record.getMessage().strip(), **fields)
