"""`inkdigit serve`: what cannot be served is told at once, in one line, with its exit code."""

from __future__ import annotations

import socket
import sys

import pytest

from inkdigit.cli.serve import parse_size
from inkdigit.errors import UsageError, pip_install

from .conftest import assert_one_error


def test_a_size():
    sizes = {
        "8MB": 8_000_000,
        "500kB": 500_000,
        "8MiB": 2**23,
        "1048576": 2**20,
        "1.5 mb": 1_500_000,
        " 2KiB": 2048,
    }
    assert {text: parse_size(text) for text in sizes} == sizes


def test_what_is_no_size():
    for text in ("", "MB", "8XB", "-1", "1e6", "0", "1023", "9" * 20, "8 M B", "∞"):
        with pytest.raises(UsageError, match="--max-bytes is not a size"):
            parse_size(text)


NOT_SERVED: list[tuple[list[str], int, str]] = [
    (["--model", "nothing"], 2, "There is no model 'nothing'"),
    (["--host", "no.such.host.invalid"], 2, "There is no host"),
    (["--host", "192.0.2.1"], 2, "not an address of this machine"),
    (["--max-bytes", "much"], 2, "--max-bytes is not a size"),
    (["--allow-origin", "*"], 2, "--allow-origin is not an origin"),
    (["--allow-origin", "https://a.example/path"], 2, "--allow-origin is not an origin"),
    (["--time-limit", "nan"], 2, "--time-limit is not a number"),
    (["--token", "with space"], 2, "This token cannot be sent"),
    (["--token", ""], 2, "The token is empty"),
    (["--collect", "/nowhere/kept.db"], 9, "/nowhere/kept.db cannot be written"),
    (["--workers", "2", "--model", "nothing"], 2, "There is no model 'nothing'"),
    (["--workers", "2", "--collect", "/nowhere/kept.db"], 9, "/nowhere/kept.db cannot be written"),
]


def test_what_cannot_be_served(inkdigit):
    for options, code, text in NOT_SERVED:
        assert_one_error(inkdigit("serve", "--port", 0, *options), code, text)


def test_a_port_that_is_taken(inkdigit):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert_one_error(inkdigit("serve", "--port", port), 9, f"port {port}: Address already in use. ")


def test_without_the_libraries_it_says_what_to_install(inkdigit, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert_one_error(inkdigit("serve"), 7, pip_install("serve"))
