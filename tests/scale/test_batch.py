"""A batch: each picture once, whatever it comes from, whoever does it, and whatever goes wrong."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inkdigit.errors import DataError, MalformedFile, OutputError, UsageError
from inkdigit.model.recognizer import Recognizer
from inkdigit.reading.reader import Reader
from inkdigit.scale.batch import batch

from ..conftest import Tiny, drawn
from ..reading.conftest import page, write

pa = pytest.importorskip("pyarrow", reason="the extra scale is not installed")
pq = pytest.importorskip("pyarrow.parquet")


def png(gray: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, "PNG")
    return file.getvalue()


DIGITS = [png(drawn(i % 10, seed=i // 10, size_px=28 + i)) for i in range(30)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty digits in two folders, a picture that is not one, and a file that is left out."""
    root = tmp_path / "in"
    for i, content in enumerate(DIGITS):
        path = root / ("a" if i % 2 else "b/c") / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "bad.png").write_bytes(b"nothing")
    (root / "notes.md").write_text("left out", encoding="utf-8")
    (root / ".hidden.png").write_bytes(DIGITS[0])
    return root


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "shard.tar", DIGITS)


def write_tar(path: Path, pictures: list[bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for i, content in enumerate(pictures):
            for name, data in ((f"{i:03}.png", content), (f"{i:03}.json", b"{}")):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def rows(out: Path) -> list[dict[str, object]]:
    return [row for path in sorted(out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def hashes(out: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.parquet"))]


def test_a_folder_gives_a_row_for_each_picture_as_predict_has_it(folder, tiny_file, tmp_path):
    done = batch(folder, tmp_path / "out", model=tiny_file, part_rows=8, workers=2)
    assert (done.rows, done.errors, done.parts, done.done, done.skipped) == (31, 1, 4, 4, 1)
    found = {row["id"]: row for row in rows(done.out)}
    assert len(found) == 31
    assert found["bad.png"]["label"] is None
    assert "not an image" in found["bad.png"]["error"]
    recognizer = Recognizer.load(tiny_file)
    for i in range(30):
        name = f"{'a' if i % 2 else 'b/c'}/{i:02}.png"
        (expected,) = recognizer.predict([folder / name])
        row = found[name]
        assert row["label"] == expected.label
        np.testing.assert_array_equal(np.float32(row["probs"]), expected.probs)
        assert row["source"] == str(folder / name)
    assert {row["model"] for row in found.values()} == {"tiny"}
    assert {row["model_sha256"] for row in found.values()} == {hashlib.sha256(tiny_file.read_bytes()).hexdigest()}


@pytest.mark.parametrize("name", ["shard.tar", "shard.tar.gz"])
def test_tar_shards(name, tiny_file, tmp_path):
    path = write_tar(tmp_path / name, DIGITS, "w:gz" if name.endswith("gz") else "w")
    done = batch(path, tmp_path / "out", model=tiny_file, part_rows=7, workers=1)
    assert [row["id"] for row in rows(done.out)] == [f"{name}/{i:03}.png" for i in range(30)]
    assert done.parts == (1 if name.endswith("gz") else 5)
    assert [row["label"] for row in rows(done.out)][:10] == list("0123456789")


@pytest.mark.usefixtures("shard")
def test_lists_of_files_and_several_inputs(folder, tiny_file, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text(f"# a comment\nin/a/01.png\n{folder}/b/c/02.png\n\nshard.tar\n", encoding="utf-8")
    done = batch([names, folder / "a"], tmp_path / "out", model=tiny_file, workers=1)
    ids = [row["id"] for row in rows(done.out)]
    assert ids[:30] == [f"list.txt/shard.tar/{i:03}.png" for i in range(30)]
    assert ids[30:32] == ["list.txt/in/a/01.png", f"list.txt/{folder}/b/c/02.png"]
    assert ids[32:34] == ["a/01.png", "a/03.png"]
    with pytest.raises(UsageError, match="same name"):
        batch([folder / "a", tmp_path / "a"], tmp_path / "other", model=tiny_file)


@pytest.mark.usefixtures("folder")
def test_parquet_with_bytes_paths_and_structures(tiny_file, tmp_path):
    pq.write_table(pa.table({"id": ["x", "y"], "image": DIGITS[:2]}), tmp_path / "bytes.parquet")
    pq.write_table(pa.table({"path": ["in/a/01.png", "nowhere.png", None]}), tmp_path / "paths.parquet")
    struct = [{"bytes": DIGITS[3], "path": None}, {"bytes": None, "path": "in/b/c/04.png"}]
    pq.write_table(pa.table({"image": struct * 60}), tmp_path / "both.parquet", row_group_size=50)
    inputs = [tmp_path / name for name in ("bytes.parquet", "paths.parquet", "both.parquet")]
    found = rows(batch(inputs, tmp_path / "out", model=tiny_file, part_rows=45, workers=1).out)
    assert [row["label"] for row in found[:5]] == ["0", "1", "1", None, None]
    assert [row["id"] for row in found[:3]] == ["bytes.parquet/x", "bytes.parquet/y", "paths.parquet/0"]
    assert [row["error"] is None for row in found[:5]] == [True, True, True, False, False]
    assert [row["label"] for row in found[5:]] == ["3", "4"] * 60
    assert [row["id"] for row in found[5:]] == [f"both.parquet/{i}" for i in range(120)]
    with pytest.raises(UsageError, match="no column with pictures"):
        batch(inputs[0], tmp_path / "wrong", model=tiny_file, column="scan", workers=1)


@pytest.mark.parametrize("label", [True, False])
def test_a_csv_of_pixels(label, tiny_file, tmp_path):
    images = [Tiny().templates()[k] for k in (3, 1, 4)]
    lines = [",".join(map(str, image.ravel())) for image in images]
    header = ",".join(f"pixel{i}" for i in range(784))
    bad = ["1,2,3", ",".join(["256"] * 784), ",".join(["x"] * 784)]
    path = tmp_path / "test.csv"
    path.write_text(
        "\n".join([f"label,{header}" if label else header, *(f"9,{x}" if label else x for x in lines + bad)]),
        encoding="utf-8",
    )
    found = rows(batch(path, tmp_path / "out", model=tiny_file, part_rows=2, workers=1).out)
    assert [row["label"] for row in found] == ["3", "1", "4", None, None, None]
    assert [row["id"] for row in found] == [f"test.csv/{i}" for i in range(1, 7)]
    assert all("784 numbers" in row["error"] for row in found[3:])


def test_whole_numbers(tmp_path):
    folder = tmp_path / "numbers"
    folder.mkdir()
    sheet = page((120, 400))
    write(sheet, "20417", 40, 60)
    Image.fromarray(sheet).save(folder / "a.png")
    (folder / "b.png").write_bytes(b"nothing")
    done = batch(folder, tmp_path / "out", task="read", expect=r"\d{5}", workers=1)
    number, bad = rows(done.out)
    (expected,) = Reader.load().read(folder / "a.png", expect=r"\d{5}")
    assert number["text"] == expected.text == "20417"
    assert number["confidence"] == expected.confidence
    assert number["numbers"][0]["box"] == list(expected.numbers[0].box)
    assert bad["error"]
    assert (done.rows, done.errors, done.refused) == (2, 1, 0)


@pytest.mark.usefixtures("local_ray")
def test_neither_engine_nor_batch_nor_workers_change_a_byte(shard, tiny_file, tmp_path):
    expected = hashes(batch(shard, tmp_path / "0", model=tiny_file, part_rows=8, workers=1).out)
    for i, options in enumerate([{"workers": 2}, {"batch": 1}, {"engine": "ray", "workers": 2, "batch": 3}], 1):
        done = batch(shard, tmp_path / str(i), model=tiny_file, part_rows=8, **options)
        assert hashes(done.out) == expected


def test_a_job_goes_on_with_what_is_missing_or_damaged(shard, tiny_file, tmp_path):
    out = tmp_path / "out"
    batch(shard, out, model=tiny_file, part_rows=5, workers=1)
    expected = hashes(out)
    (out / "part-000001.parquet").unlink()
    (out / "part-000003.parquet").write_bytes(b"cut")
    (out / ".0123456789ab.part").write_bytes(b"left by a killed call")
    with (out / "_manifest/done.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"part": 4, "ro')
    log: list[str] = []
    done = batch(shard, out, model=tiny_file, workers=1, log=log.append)
    assert (done.parts, done.done, done.rows) == (6, 2, 30)
    assert hashes(out) == expected
    assert not list(out.glob(".*.part"))
    assert log == ["Going on: 4 of 6 parts are finished."]
    assert batch(shard, out, model=tiny_file, workers=1).done == 0


def test_a_listing_that_was_interrupted_begins_again(shard, tiny_file, tmp_path):
    out = tmp_path / "out"
    (out / "_manifest").mkdir(parents=True)
    (out / "_manifest/parts.jsonl").write_text("{", encoding="utf-8")
    assert batch(shard, out, model=tiny_file, workers=1).rows == 30


def test_out_of_another_job_or_with_other_things_is_refused(shard, folder, tiny_file, tmp_path):
    out = tmp_path / "out"
    batch(shard, out, model=tiny_file, workers=1)
    before = hashes(out)
    other = Tiny().write(tmp_path / "other.onnx", weight=1.001)
    for inputs, options, text in [
        (folder, {"model": tiny_file}, "inputs"),
        (shard, {"model": other}, "model sha256"),
        (shard, {"model": tiny_file, "part_rows": 7}, "part rows"),
        (shard, {"task": "read"}, "task"),
        (shard, {"model": tiny_file, "accept_all": True}, "accept all"),
    ]:
        with pytest.raises(OutputError, match=f"another job: its {text}"):
            batch(inputs, out, **options)
    assert hashes(out) == before
    with pytest.raises(OutputError, match="is taken"):
        batch(shard, folder, model=tiny_file)
    (out / "_manifest/job.json").unlink()
    with pytest.raises(OutputError, match="is taken"):
        batch(shard, out, model=tiny_file)
    with pytest.raises(OutputError, match="of this machine"):
        batch(shard, "s3://bucket/out", model=tiny_file)


def test_a_source_that_changed_or_is_gone_is_an_error_and_not_rows(shard, folder, tiny_file, tmp_path):
    out = tmp_path / "out"
    batch(shard, out, model=tiny_file, part_rows=10, workers=1)
    (out / "part-000002.parquet").unlink()
    content = shard.read_bytes()
    shard.write_bytes(content + b"\0" * 512)
    with pytest.raises(DataError, match="not what it was"):
        batch(shard, out, model=tiny_file, workers=1)
    shard.unlink()
    with pytest.raises(DataError, match=r"nothing at .* on the machine"):
        batch(shard, out, model=tiny_file, workers=1)
    shard.write_bytes(content)
    assert batch(shard, out, model=tiny_file, workers=1).done == 1
    batch(folder, tmp_path / "files", model=tiny_file, workers=1)
    (tmp_path / "files/part-000000.parquet").unlink()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="on the machine"):
        batch(folder, tmp_path / "files", model=tiny_file, workers=1)


def test_damaged_inputs_and_wrong_ones_are_one_error(shard, tiny_file, tmp_path):
    content = shard.read_bytes()
    packed = write_tar(tmp_path / "whole.tar.gz", DIGITS, "w:gz").read_bytes()
    for name, data in [
        ("noise.tar", content[:20480] + b"x" * 4096 + content[24576:]),
        ("short.tar", content[:20480]),
        ("none.tar", b"nothing"),
        ("short.tar.gz", packed[:5000]),
        ("noise.tar.gz", packed[:5000] + b"x" * 500 + packed[5500:]),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(MalformedFile, match="archive is damaged"):
            batch(tmp_path / name, tmp_path / "1", model=tiny_file)
    (tmp_path / "x.parquet").write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot be read"):
        batch(tmp_path / "x.parquet", tmp_path / "2", model=tiny_file)
    assert not (tmp_path / "2" / "_manifest/job.json").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        batch(tmp_path / "empty", tmp_path / "3", model=tiny_file)
    with pytest.raises(DataError, match="nothing at"):
        batch(tmp_path / "nowhere", tmp_path / "4", model=tiny_file)
    (tmp_path / "list.txt").write_text("a.doc\n", encoding="utf-8")
    with pytest.raises(MalformedFile, match="line 1"):
        batch(tmp_path / "list.txt", tmp_path / "5", model=tiny_file)
    (tmp_path / "a.doc").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="is not an input"):
        batch(tmp_path / "a.doc", tmp_path / "6", model=tiny_file)
    for options in ({"task": "red"}, {"workers": 0}, {"batch": 0}, {"part_rows": 0}, {"expect": "1"}):
        with pytest.raises(UsageError):
            batch(shard, tmp_path / "7", model=tiny_file, **options)
    assert not (tmp_path / "7").exists()


def test_the_manifest_says_what_the_job_is(shard, tiny_file, tmp_path):
    out = batch(shard, tmp_path / "out", model=tiny_file, part_rows=20, workers=1).out
    job = json.loads((out / "_manifest/job.json").read_text(encoding="utf-8"))
    assert (job["format"], job["parts"], job["rows"], job["skipped"]) == (1, 2, 30, 30)
    assert job["about"]["inputs"] == [str(shard)]
    parts = [json.loads(line) for line in (out / "_manifest/parts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(part["kind"], part["rows"], part["before"]) for part in parts] == [("tar", 20, 0), ("tar", 10, 20)]
    done = [json.loads(line) for line in (out / "_manifest/done.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["sha256"] for line in sorted(done, key=lambda line: line["part"])] == hashes(out)


def test_a_full_disk_is_one_error_and_the_job_goes_on(shard, tiny_file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    fsync, calls = os.fsync, iter(range(100))

    def full(descriptor: int) -> None:
        if next(calls) == 5:  # three files of the manifest, a file, its note, a file …
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        batch(shard, out, model=tiny_file, part_rows=5, workers=1)
    assert not list(out.glob(".*.part"))
    done = batch(shard, out, model=tiny_file, workers=1)
    assert (done.rows, done.parts, done.done) == (30, 6, 5)


@pytest.mark.usefixtures("folder")
def test_relative_names_are_those_of_the_folder_where_the_job_began(tiny_file, tmp_path, monkeypatch):
    (tmp_path / "elsewhere/in").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    expected = hashes(batch("in", "out", model=tiny_file, workers=1).out)
    (tmp_path / "out/part-000000.parquet").unlink()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert hashes(batch("../in", tmp_path / "out", model=tiny_file, workers=1).out) == expected
    with pytest.raises(OutputError, match="its inputs"):
        batch("in", tmp_path / "out", model=tiny_file, workers=1)


@pytest.mark.parametrize("name", ["parts.jsonl", "job.json"])
@pytest.mark.parametrize("content", ["", "[[[[" * 10_000, "{}\n", '{"format": 1, "about": []}'])
def test_a_damaged_manifest_is_one_error(name, content, shard, tiny_file, tmp_path):
    out = batch(shard, tmp_path / "out", model=tiny_file, part_rows=10, workers=1).out
    (out / "_manifest" / name).write_text(content, encoding="utf-8")
    (out / "part-000001.parquet").unlink()
    with pytest.raises(MalformedFile, match=name):
        batch(shard, out, model=tiny_file, workers=1)


def test_a_manifest_that_lost_its_last_lines_loses_no_rows(shard, tiny_file, tmp_path):
    out = batch(shard, tmp_path / "out", model=tiny_file, part_rows=10, workers=1).out
    path = out / "_manifest/parts.jsonl"
    path.write_text("".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:2]), encoding="utf-8")
    (out / "part-000000.parquet").unlink()
    with pytest.raises(MalformedFile, match="the manifest is incomplete"):
        batch(shard, out, model=tiny_file, workers=1)


def test_every_row_has_its_number(folder, shard, tiny_file, tmp_path):
    found = rows(batch([folder, shard], tmp_path / "out", model=tiny_file, part_rows=7, workers=2).out)
    assert sorted(row["row"] for row in found) == list(range(61))
    assert [row["row"] for row in found] == sorted(row["row"] for row in found)


def test_odd_files_of_a_folder(folder, tiny_file, tmp_path):
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("a/01.png")
    (folder / "linked").symlink_to("a")
    os.mkfifo(folder / "pipe.png")
    (folder / os.fsdecode(b"\xff.png")).write_bytes(DIGITS[5])
    batch(folder / "a", folder / "out", model=tiny_file, workers=1)  # the results of another batch
    found = {row["id"]: row for row in rows(batch(folder, tmp_path / "out", model=tiny_file, workers=1).out)}
    assert len(found) == 31 + 4
    assert found["link.png"]["label"] == "1"
    assert found["\\udcff.png"]["label"] == "5"
    assert "symbolic links" in found["loop.png"]["error"]
    assert "nothing at" in found["dangling.png"]["error"]


def test_a_list_on_a_machine_that_lacks_the_folder_is_an_error(folder, tiny_file, tmp_path):
    names = tmp_path / "list.txt"
    names.write_text("in/a/01.png\nin/a/missing.png\n", encoding="utf-8")
    first, second = rows(batch(names, tmp_path / "out", model=tiny_file, workers=1).out)
    assert (first["label"], second["label"]) == ("1", None)
    assert "nothing at" in second["error"]
    (tmp_path / "out/part-000000.parquet").unlink()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="on the machine"):
        batch(names, tmp_path / "out", model=tiny_file, workers=1)
    single = tmp_path / "elsewhere/a/01.png"
    batch(single, tmp_path / "one", model=tiny_file, workers=1)
    (tmp_path / "one/part-000000.parquet").unlink()
    single.unlink()
    with pytest.raises(DataError, match="on the machine"):
        batch(single, tmp_path / "one", model=tiny_file, workers=1)


def test_headers_of_csv(tiny_file, tmp_path):
    image = Tiny().templates()[3].ravel()
    path = tmp_path / "x.csv"
    grid = ",".join(f"{row}x{column}" for row in range(1, 29) for column in range(1, 29))
    pixels = ",".join(f'"pixel{i}"' for i in range(784))
    cells = ",".join(map(str, image))
    for number, (header, line) in enumerate(
        [
            (f"label,{grid}", f"9,{cells}"),
            (f'\ufeff"label",{pixels}', f'"9",{cells}'),
            (f"{pixels},label", f"{cells},9"),
            (pixels, cells.replace("0", "99999999999999999999", 1)),
        ]
    ):
        path.write_text(f"{header}\r\n{line}\r\n", encoding="utf-8")
        (row,) = rows(batch(path, tmp_path / str(number), model=tiny_file, workers=1).out)
        assert row["label"] == (None if number == 3 else "3")
    for header in (cells, "label,pixel1", ",".join(f"pixel{i}" for i in range(784, 0, -1))):
        path.write_text(f"{header}\n{cells}\n", encoding="utf-8")
        with pytest.raises(MalformedFile, match="does not name the pixels"):
            batch(path, tmp_path / "no", model=tiny_file, workers=1)


def test_links_in_an_archive_are_counted(tiny_file, tmp_path):
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("a.png")
        member.size = len(DIGITS[0])
        tar.addfile(member, io.BytesIO(DIGITS[0]))
        link = tarfile.TarInfo("b.png")
        link.type, link.linkname = tarfile.LNKTYPE, "a.png"
        tar.addfile(link)
    done = batch(path, tmp_path / "out", model=tiny_file, workers=1)
    assert (done.rows, done.skipped) == (1, 1)


def test_a_second_job_in_the_same_folder_waits_for_nobody(shard, tiny_file, tmp_path):
    from inkdigit.files import locked

    out = tmp_path / "out"
    out.mkdir()
    with locked(out, "batch"), pytest.raises(UsageError, match="Another batch is running"):
        batch(shard, out, model=tiny_file)
