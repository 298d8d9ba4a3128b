"""Fetching, against servers on this machine that are slow, truncated, wrong, absent, full or good."""

from __future__ import annotations

import errno
import gzip
import hashlib
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from inkdigit.data import mirrors
from inkdigit.data.mirrors import PUBLISHED, PublishedFile, PublishedSet, fetch
from inkdigit.errors import ChecksumMismatch, MissingData, MissingExtra, OutputError, UsageError

RAW = {"a.gz": b"first file " * 500, "b.gz": b"second file " * 500}
SERVED = {name: gzip.compress(raw) for name, raw in RAW.items()}
TIMEOUTS = (0.5, 0.5)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A published set of two small files; no proxy between us and this machine."""
    a = PublishedFile("a.gz", f"sha256:{hashlib.sha256(RAW['a.gz']).hexdigest()}", unpacked=True)
    b = PublishedFile("b.gz", f"md5:{hashlib.md5(SERVED['b.gz']).hexdigest()}")
    monkeypatch.setitem(PUBLISHED, "tiny", PublishedSet((a, b), ()))
    monkeypatch.setenv("NO_PROXY", "*")


@contextmanager
def mirror(behaviour: str) -> Iterator[tuple[str, list[str]]]:
    """A server with one `behaviour`; yields its address and the names of the files that were requested."""
    requested: list[str] = []
    done = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2]
            requested.append(name)
            if behaviour == "slow":
                done.wait(60)
                return
            if behaviour == "absent" or name not in SERVED or (behaviour == "half" and name == "b.gz"):
                self.send_error(404)
                return
            body = {"wrong": b"something else", "no gzip": gzip.compress(RAW[name])[:-9]}.get(behaviour, SERVED[name])
            if behaviour == "unpacked":
                body = RAW[name]
            if behaviour == "repacked":
                body = gzip.compress(RAW[name], compresslevel=1, mtime=1)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 1000 * (behaviour == "truncated")))
            self.end_headers()
            if behaviour == "interrupted":
                self.wfile.write(body[:5])
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # Ctrl-C
                done.wait(60)
                return
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/some/folder/", requested
    finally:
        done.set()
        server.shutdown()
        server.server_close()
        thread.join()


def refused() -> str:
    """An address without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_good_mirror(tmp_path, lines, log):
    with mirror("good") as (url, _):
        assert fetch("tiny", to=tmp_path / "new" / "tiny", mirrors=[url], log=log) == tmp_path / "new" / "tiny"
    assert names(tmp_path / "new" / "tiny") == ["a.gz", "b.gz"]
    assert (tmp_path / "new" / "tiny" / "a.gz").read_bytes() == SERVED["a.gz"]
    assert lines == [f"Fetching {url}a.gz", f"Fetching {url}b.gz"]


@pytest.mark.usefixtures("nowhere")
def test_by_default_into_the_cache(tmp_path, log):
    with mirror("good") as (url, _):
        assert fetch("tiny", mirrors=[url], log=log) == tmp_path / "cache" / "tiny"


@pytest.mark.parametrize("behaviour", ["slow", "truncated", "wrong", "no gzip", "absent", "half"])
def test_a_bad_mirror_is_passed_over(tmp_path, behaviour, lines, log):
    begin = time.perf_counter()
    with mirror(behaviour) as (bad, requested), mirror("good") as (good, _):
        fetch("tiny", to=tmp_path, mirrors=[bad, good], timeouts_s=TIMEOUTS, log=log)
    assert names(tmp_path) == ["a.gz", "b.gz"]
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == RAW["a.gz"]
    assert requested == (["a.gz", "b.gz"] if behaviour == "half" else ["a.gz"])  # a mirror that failed is tried last
    assert len(lines) == 4
    assert time.perf_counter() - begin < 30  # and not the minute of the slow one


def test_an_address_without_a_server_is_passed_over(tmp_path, log):
    with mirror("good") as (good, _):
        fetch("tiny", to=tmp_path, mirrors=[refused(), good], timeouts_s=TIMEOUTS, log=log)
    assert names(tmp_path) == ["a.gz", "b.gz"]


@pytest.mark.parametrize("behaviour", ["slow", "truncated", "absent"])
def test_without_a_good_mirror_the_error_names_the_files_and_their_folder(tmp_path, behaviour, log):
    nobody = refused()
    with mirror(behaviour) as (bad, _), pytest.raises(MissingData) as caught:
        fetch("tiny", to=tmp_path, mirrors=[bad, nobody], timeouts_s=TIMEOUTS, log=log)
    assert caught.value.exit_code == 4
    for text in ("a.gz", "b.gz", str(tmp_path), bad, nobody):
        assert text in str(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize("behaviour", ["wrong", "no gzip"])
def test_wrong_bytes_are_not_kept(tmp_path, behaviour, log):
    with mirror(behaviour) as (url, _), pytest.raises(ChecksumMismatch, match=rf"{url}a\.gz.*sha256:") as caught:
        fetch("tiny", to=tmp_path, mirrors=[url, refused()], timeouts_s=TIMEOUTS, log=log)
    assert caught.value.exit_code == 4
    assert names(tmp_path) == []


@pytest.mark.parametrize("behaviour", ["unpacked", "repacked"])
def test_the_raw_bytes_count_where_their_checksum_is_published(tmp_path, behaviour, log):
    with mirror(behaviour) as (url, _), pytest.raises(ChecksumMismatch, match=r"b\.gz"):
        fetch("tiny", to=tmp_path, mirrors=[url], log=log)
    assert names(tmp_path) == ["a.gz"]


def test_what_is_there_is_not_fetched_again(tmp_path, log):
    (tmp_path / "a.gz").write_bytes(b"mine")
    with mirror("good") as (url, requested):
        fetch("tiny", to=tmp_path, mirrors=[url], log=log)
    assert requested == ["b.gz"]
    assert (tmp_path / "a.gz").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made(tmp_path, log):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(OutputError, match="Cannot make the folder") as caught:
        fetch("tiny", to=tmp_path / "file" / "tiny", mirrors=[], log=log)
    assert caught.value.exit_code == 9


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_full_or_forbidden_disk_leaves_nothing_behind(tmp_path, log, monkeypatch, number):
    def refuse(*_: object) -> None:
        raise OSError(number, "No")

    monkeypatch.setattr(Path, "replace", refuse)
    with mirror("good") as (url, _), pytest.raises(OutputError, match=r"Cannot write .*a\.gz"):
        fetch("tiny", to=tmp_path, mirrors=[url], log=log)
    assert names(tmp_path) == []


def test_a_disk_that_fills_up_while_downloading(tmp_path, log, monkeypatch):
    class Full:
        def __init__(self, **_: object) -> None:
            pass

        def __call__(self, _url: str, path: str, _pooch: None) -> None:
            Path(path).write_bytes(b"some")
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pooch.HTTPDownloader", Full)
    with pytest.raises(OutputError, match="No space left"):
        fetch("tiny", to=tmp_path, mirrors=["http://x"], log=log)
    assert names(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to a thread on this system")
def test_an_interrupted_download_leaves_nothing_behind(tmp_path, log):
    with mirror("interrupted") as (url, _), pytest.raises(KeyboardInterrupt):
        fetch("tiny", to=tmp_path, mirrors=[url], log=log)
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", ["mnits", "sklearn-digits"])
def test_only_published_sets_can_be_fetched(tmp_path, name, log):
    with pytest.raises(UsageError, match="No mirror is known"):
        fetch(name, to=tmp_path, log=log)


def test_without_pooch_the_error_says_how_to_get_it(tmp_path, log, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(MissingExtra, match="pooch"):
        fetch("tiny", to=tmp_path, mirrors=["http://x"], log=log)


def test_no_progress_bar_where_stderr_is_not_a_terminal(tmp_path, log, capsys):
    with mirror("good") as (url, _):
        fetch("tiny", to=tmp_path, mirrors=[url], log=log)
    assert capsys.readouterr() == ("", "")


def test_every_published_file_has_a_checksum_of_its_kind():
    lengths = {"sha256": 64, "md5": 32}
    for name, published in PUBLISHED.items():
        for file in published.files:
            algorithm, _, digest = file.checksum.partition(":")
            assert len(digest) == lengths[algorithm], name


def test_the_mnist_here_is_the_published_one(mnist):
    for file in PUBLISHED["mnist"].files:
        assert mirrors.checksum(mnist / file.name, file) == file.checksum
