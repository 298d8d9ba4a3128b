"""Pictures in a bucket: a real server of the protocol on this machine, with keys that are checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inkdigit.errors import DataError, MissingData, MissingExtra
from inkdigit.scale import storage
from inkdigit.scale.batch import batch
from inkdigit.scale.storage import Place, is_folder, opened, size_of, walk

from .test_batch import DIGITS, hashes, rows, write_tar

fs = pytest.importorskip("pyarrow.fs", reason="the extra scale is not installed")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The options of a bucket `forms` with pictures and a shard."""
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
    yield f"?endpoint_override=127.0.0.1:{port}&scheme=http"
    server.stop()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    storage._connection.cache_clear()


def write(bucket: str, name: str, content: bytes) -> None:
    filesystem, path = storage._open(Place(f"s3://forms/{name}{bucket}"))
    with filesystem.open_output_stream(path) as file:
        file.write(content)


def test_a_folder_of_a_bucket_gives_the_rows_of_a_folder(bucket, tiny_file, tmp_path):
    local = tmp_path / "pictures"
    for i, content in enumerate(DIGITS[:6]):
        path = local / ("a" if i % 2 else "b") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    expected = rows(batch(local, tmp_path / "local", model=tiny_file, workers=1).out)
    found = rows(batch(f"s3://forms/pictures{bucket}", tmp_path / "out", model=tiny_file, workers=1).out)
    assert [row["id"] for row in found] == [row["id"] for row in expected]
    assert [row["probs"] for row in found] == [row["probs"] for row in expected]
    assert found[0]["source"] == "s3://forms/pictures/a/1.png"


def test_a_shard_of_a_bucket_is_read_from_the_middle(bucket, tiny_file, tmp_path):
    content = write_tar(tmp_path / "shard.tar", DIGITS).read_bytes()
    write(bucket, "shards/shard.tar", content)
    expected = batch(tmp_path / "shard.tar", tmp_path / "local", model=tiny_file, part_rows=7, workers=1)
    done = batch(f"s3://forms/shards/shard.tar{bucket}", tmp_path / "out", model=tiny_file, part_rows=7, workers=1)
    assert [row["label"] for row in rows(done.out)] == [row["label"] for row in rows(expected.out)]
    assert done.parts == 5


def test_a_picture_that_was_deleted_is_a_row(bucket, tiny_file, tmp_path):
    write(bucket, "some/1.png", DIGITS[1])
    names = tmp_path / "list.txt"
    names.write_text(f"s3://forms/some/1.png{bucket}\ns3://forms/some/2.png{bucket}\n")
    found = rows(batch(names, tmp_path / "out", model=tiny_file, workers=1).out)
    assert found[0]["label"] == "1"
    assert "no such file" in found[1]["error"]


def test_the_options_of_a_bucket_do_not_matter_to_the_job(bucket, tiny_file, tmp_path):
    out = tmp_path / "out"
    batch(f"s3://forms/pictures{bucket}", out, model=tiny_file, workers=1)
    before = hashes(out)
    assert batch(f"s3://forms/pictures{bucket}&region=eu-west-1", out, model=tiny_file, workers=1).done == 0
    assert hashes(out) == before


def test_a_bucket_that_is_not_there_or_does_not_answer_is_one_error(bucket, tiny_file, tmp_path):
    with pytest.raises(MissingData, match="nothing at s3://nowhere/x"):
        batch(f"s3://nowhere/x{bucket}", tmp_path / "1", model=tiny_file)
    with pytest.raises(DataError, match="AWS_ACCESS_KEY_ID"):
        is_folder(Place("s3://forms/x?endpoint_override=127.0.0.1:9&scheme=http&request_timeout=1&connect_timeout=1"))


def test_the_error_of_a_bucket_that_refuses(bucket, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("AWS Error ACCESS_DENIED during GetObject operation: No response body.\nmore")

    monkeypatch.setattr(storage, "_open", refuse)
    place = Place(f"s3://forms/secret.png{bucket}")
    with pytest.raises(DataError, match=r"s3://forms/secret.png cannot be read: AWS Error ACCESS_DENIED") as caught:
        size_of(place)
    assert "endpoint_override" not in str(caught.value)
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
    with pytest.raises(MissingExtra, match=r"inkdigit\[scale\]"):
        batch(tmp_path, tmp_path / "out", model=tiny_file)


def test_places_join_before_their_options():
    assert Place("s3://b/k/?x=1").joined("a.png").name == "s3://b/k/a.png?x=1"
    assert Place("in").joined("a.png").name == str(Path("in/a.png"))
