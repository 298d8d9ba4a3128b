"""The log of the service: one line of JSON per event, on stderr.

In: events and their fields. Out: lines. Messages of uvicorn have the same form. No line holds anything of an image.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any


def write(event: str, *, level: str = "info", **fields: Any) -> None:
    """Write one line in one call: several threads and processes write to the same stream."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": time, "level": level, "event": event, **fields}, ensure_ascii=True)
    try:
        sys.stderr.write(f"{line}\n")
    except OSError:
        return  # nobody reads it, or the disk is full: the service must still answer
    except ValueError:
        return  # stderr is closed


def start() -> None:
    """Write the warnings and errors of uvicorn and of the event loop as lines of this log.

    The form parser logs nothing: the client gets its errors as responses.
    """
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    for name in ("uvicorn", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [_Lines()]
        logger.propagate = False
        logger.setLevel(logging.WARNING)


class _Lines(logging.Handler):
    """Writes a record of `logging` as a line of this log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, its traceback in one field."""
        fields = {}
        if record.exc_info:
            fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
        write("server", level=record.levelname.lower(), message=record.getMessage().strip(), **fields)
