"""Pictures in a bucket: a real server of the protocol on this machine, with keys that are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inkdigit.errors import DataError, MissingData, MissingExtra, UsageError
from inkdigit.scale import storage
from inkdigit.scale.batch import batch
from inkdigit.scale.storage import Place, opened, size_of, walk

from .test_batch import DIGITS, rows, write_tar

fs = pytest.importorskip("pyarrow.fs", reason="the extra scale is not installed")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of a service with a bucket `forms` of pictures."""
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(
        port=0, verbose=False
    )
    server.start()
    _, port = server.get_host_and_port()
    filesystem = fs.S3FileSystem(
        access_key="key", secret_key="secret", endpoint_override=f"127.0.0.1:{port}", scheme="http",
        allow_bucket_creation=True,
    )  # fmt: skip
    filesystem.create_dir("forms")
    for i, content in enumerate(DIGITS[:6]):
        with filesystem.open_output_stream(f"forms/pictures/{'a' if i % 2 else 'b'}/{i}.png") as file:
            file.write(content)
    yield f"http://127.0.0.1:{port}"
    server.stop()


@pytest.fixture
def credentials(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user sets."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    storage._connection.cache_clear()


pytestmark = pytest.mark.usefixtures("credentials")


def write(name: str, content: bytes) -> None:
    filesystem, path = storage._remote(f"s3://forms/{name}")
    with filesystem.open_output_stream(path) as file:
        file.write(content)


def test_a_folder_of_a_bucket_gives_the_rows_of_a_folder(tiny_file, tmp_path):
    local = tmp_path / "pictures"
    for i, content in enumerate(DIGITS[:6]):
        path = local / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected = rows(batch(local, tmp_path / "local", model=tiny_file, workers=1).out)
    found = rows(batch("s3://forms/pictures", tmp_path / "out", model=tiny_file, workers=1).out)
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    assert [row["probs"] for row in found] == [row["probs"] for row in expected]
    assert found[0]["source"] == "s3://forms/pictures/a/1.png"


def test_a_shard_of_a_bucket_is_read_from_the_middle(tiny_file, tmp_path):
    content = write_tar(tmp_path / "shard.tar", DIGITS).read_bytes()
    write("shards/shard.tar", content)
    expected = batch(tmp_path / "shard.tar", tmp_path / "local", model=tiny_file, part_rows=7, workers=1)
    done = batch("s3://forms/shards/shard.tar", tmp_path / "out", model=tiny_file, part_rows=7, workers=1)
    assert [row["label"] for row in rows(done.out)] == [row["label"] for row in rows(expected.out)]
    assert done.parts == 5


def test_a_picture_that_was_deleted_is_a_row(tiny_file, tmp_path):
    write("some/1.png", DIGITS[1])
    names = tmp_path / "list.txt"
    names.write_text("s3://forms/some/1.png\ns3://forms/some/2.png\n", encoding="utf-8")
    found = rows(batch(names, tmp_path / "out", model=tiny_file, workers=1).out)
    assert found[0]["label"] == "1"
    assert found[1]["error"] == "There is nothing at s3://forms/some/2.png."


def test_the_address_of_a_bucket_is_not_part_of_the_job(tiny_file, tmp_path):
    out = tmp_path / "out"
    batch("s3://forms/pictures", out, model=tiny_file, workers=1)
    assert batch("S3://forms/pictures/", out, model=tiny_file, workers=1).done == 0
    assert "127.0.0.1" not in (out / "_manifest/job.json").read_text(encoding="utf-8")


def test_lists_in_a_bucket_and_odd_keys(tiny_file, tmp_path):
    write("odd/a?b%20c #1.png", DIGITS[1])
    write("odd/list.txt", b"a?b%20c #1.png\n2.png\n")
    found = rows(batch("s3://forms/odd/list.txt", tmp_path / "out", model=tiny_file, workers=1).out)
    assert [row["label"] for row in found] == ["1", None]
    assert found[0]["source"] == "s3://forms/odd/a?b%20c #1.png"
    assert rows(batch("s3://forms/odd", tmp_path / "all", model=tiny_file, workers=1).out)[0]["label"] == "1"


def test_a_bucket_that_is_not_there_is_one_error(tiny_file, tmp_path):
    with pytest.raises(MissingData, match="nothing at s3://nowhere/x"):
        batch("s3://nowhere/x", tmp_path / "1", model=tiny_file)
    with pytest.raises(UsageError, match="without a key") as caught:
        batch("s3://name:secret@forms/x", tmp_path / "2", model=tiny_file)
    assert "secret@" not in str(caught.value)


@pytest.mark.slow  # pyarrow asks again for six seconds
def test_a_service_that_does_not_answer_is_one_error(tiny_file, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="AWS_ENDPOINT_URL"):
        batch("s3://forms/x", tmp_path / "3", model=tiny_file)


def test_the_error_of_a_bucket_that_refuses(monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("AWS Error ACCESS_DENIED during GetObject operation: No response body.\nmore")

    monkeypatch.setattr(storage, "_remote", refuse)
    place = Place("s3://forms/secret.png")
    with pytest.raises(DataError, match=r"s3://forms/secret.png cannot be read: AWS Error ACCESS_DENIED"):
        size_of(place)
    with pytest.raises(DataError), opened(place):
        pass


def test_walking_is_in_order_and_without_what_is_hidden(tmp_path):
    for name in ("b/2.png", "b/1.png", "a.png", ".git/x.png", "c/.x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert list(walk(Place(str(tmp_path)))) == ["a.png", "b/1.png", "b/2.png"]


def test_without_pyarrow_a_batch_is_one_error(monkeypatch, tmp_path, tiny_file):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"\[scale\]"):
        batch(tmp_path, tmp_path / "out", model=tiny_file)


def test_names_beside_a_file():
    assert Place("s3://b/k").joined("a.png").name == "s3://b/k/a.png"
    assert Place("s3://b/k/list.txt").beside("c/a.png").name == "s3://b/k/c/a.png"
    assert Place("/in/list.txt").beside("a.png").name == "/in/a.png"
    assert Place("/in/list.txt").beside("/b.png").name == "/b.png"
    assert Place("/in/list.txt").beside("s3://b/c.png").name == "s3://b/c.png"
    assert Place.of("x/../in").name == str(Path.cwd() / "in")
