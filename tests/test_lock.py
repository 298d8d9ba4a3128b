"""One at a time: a second command is refused at once, and a lock goes with its process, however that ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inkdigit.errors import OutputError, UsageError
from inkdigit.lock import LOCK, alone, check_unlocked

HOLD = """
import sys
from pathlib import Path
from inkdigit.lock import alone
with alone(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_two_never_do_the_same_work_in_a_folder(tmp_path):
    with alone(tmp_path, "training"):
        told = f"Another training is at work in {re.escape(str(tmp_path))}"
        with pytest.raises(UsageError, match=told), alone(tmp_path, "training"):
            pass
    with alone(tmp_path, "training"):
        pass


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir])
def test_where_no_lock_can_be_made_it_is_said(tmp_path, make: Callable[[Path], None]):
    folder = tmp_path / "folder"
    folder.mkdir()
    if make is Path.mkdir:
        (folder / LOCK).mkdir()
    else:
        folder = tmp_path / "file"
        folder.touch()
    with pytest.raises(OutputError, match="cannot be written"), alone(folder, "training"):
        pass


def test_looking_whether_somebody_is_at_work_leaves_nothing(tmp_path):
    check_unlocked(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_dies_with_its_process(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="at work"):
            check_unlocked(tmp_path)
        holder.send_signal(signal.SIGKILL)
    with alone(tmp_path, "training"):
        assert (tmp_path / LOCK).exists()
