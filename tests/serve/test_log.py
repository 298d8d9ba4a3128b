"""The log of the service: one line of JSON per event, whatever happens to stderr."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stderr

import pytest

from inkdigit.serve import log


@pytest.fixture
def loggers():
    """The loggers of uvicorn and of the event loop, as they are afterwards too."""
    names = ("uvicorn", "asyncio", "python_multipart")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).level) for name in names}
    before_propagate = {name: logging.getLogger(name).propagate for name in names}
    log.start()
    yield
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers, logger.level = before[name]
        logger.propagate = before_propagate[name]


def test_an_event_is_one_line_in_ascii(capsys):
    log.write("request", route="/predict", note="zwei\nZeilen ü")
    text = capsys.readouterr().err
    assert text.isascii()
    (line,) = text.splitlines()
    event = json.loads(line)
    assert event.pop("time").endswith("+00:00")
    assert event == {"level": "info", "event": "request", "route": "/predict", "note": "zwei\nZeilen ü"}


@pytest.mark.usefixtures("loggers")
def test_a_warning_of_uvicorn_is_a_line_with_its_traceback_in_one_field(capsys):
    try:
        raise ZeroDivisionError("a bug")
    except ZeroDivisionError:
        logging.getLogger("uvicorn.error").exception("It failed\n")
    logging.getLogger("uvicorn.access").info("not a warning")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["message"]) == ("server", "error", "It failed")
    assert event["traceback"].endswith("ZeroDivisionError: a bug\n")


class Full(io.StringIO):
    """A stream to a disk that is full."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_log_that_cannot_be_written_stops_nothing(is_closed):
    stream = Full()
    if is_closed:
        stream = io.StringIO()
        stream.close()
    with redirect_stderr(stream):
        log.write("request")
