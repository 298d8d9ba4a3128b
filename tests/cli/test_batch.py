"""`batch`: what it prints, where it goes on, and one error for what it cannot do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import drawn
from ..scale.test_batch import png, rows
from ..scale.test_engine import wait_for
from .conftest import assert_one_error

pytest.importorskip("pyarrow", reason="the extra scale is not installed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for i in range(5):
        (root / "sub" / f"{i}.png").write_bytes(png(drawn(i)))
    (root / "bad.png").write_bytes(b"nothing")
    (root / "notes.txt").write_text("nothing", encoding="utf-8")
    return root


def test_it_says_what_was_done_and_goes_on(inkdigit, folder, tiny_file, tmp_path):
    words = ("batch", folder, "--out", tmp_path / "out", "--model", tiny_file, "--workers", 1, "--part-rows", 4)
    output = inkdigit(*words)
    assert output.code == 0
    assert output.err == "Listed 6 pictures in 2 parts.\n"
    lines = output.out.splitlines()
    assert lines[0] == "Pictures    6: 5 answered, 0 refused, 1 that cannot be read"
    assert lines[1] == "Left out    1 other file"
    assert re.fullmatch(r"Parts       2, 2 of them now, in [0-9.]+ s", lines[2])
    assert lines[3] == f"Answers     {tmp_path / 'out'}"
    again = inkdigit(*words)
    assert again.err == "Going on: 2 of 2 parts are finished.\n"
    assert "2, 0 of them now" in again.out
    assert len(rows(tmp_path / "out")) == 6


def test_what_cannot_be_is_one_error(inkdigit, folder, tiny_file, tmp_path):
    out = ("--out", tmp_path / "out", "--model", tiny_file)
    assert_one_error(inkdigit("batch", tmp_path / "nowhere", *out), 4, "There is nothing at")
    assert_one_error(inkdigit("batch", folder, *out, "--task", "raed"), 2, "Did you mean read?")
    assert_one_error(inkdigit("batch", folder, *out, "--engine", "spark"), 2, "local or ray")
    assert_one_error(inkdigit("batch", folder, *out, "--expect", "[0-9]"), 2, "the task read")
    assert_one_error(inkdigit("batch", folder, "--out", folder, "--model", tiny_file), 9, "is taken")
    assert_one_error(inkdigit("batch", folder, *out[:2], "--model", "fast", "--task", "read"), 2, "single digits")


def test_an_address_where_no_cluster_is(inkdigit, folder, tiny_file, tmp_path):
    pytest.importorskip("ray", reason="the extra scale is not installed")
    words = ("batch", folder, "--model", tiny_file, "--engine", "ray", "--address")
    output = inkdigit(*words, "127.0.0.1:9", "--out", tmp_path / "1")
    assert output.code == 10
    assert "There is no cluster at 127.0.0.1:9" in output.err
    output = inkdigit(*words, "somewhere", "--out", tmp_path / "2")
    assert output.code == 2
    assert "HOST:PORT" in output.err


def group_is_gone(group: int) -> bool:
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_ctrl_c_leaves_finished_parts_and_no_process(tmp_path, tiny_file):
    root = tmp_path / "in"
    root.mkdir()
    content = png(drawn(3, size_px=400))
    for i in range(1500):
        (root / f"{i:04}.png").write_bytes(content)
    out = tmp_path / "out"
    words = ["batch", root, "--out", out, "--model", tiny_file, "--part-rows", "25", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "inkdigit", *map(str, words)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,
    )
    end = time.monotonic() + 60
    while not (parts := list(out.glob("*.parquet"))) and time.monotonic() < end:
        time.sleep(0.02)
    assert parts
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Go on with: the same command" in err
    assert wait_for(lambda: group_is_gone(process.pid))
    assert len(rows(out)) % 25 == 0
