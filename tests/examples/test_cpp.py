"""The C++ example: preprocessing against the test vectors, and predictions where ONNX Runtime's headers are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from base64 import b64decode
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from inkdigit.model.recognizer import bundled, load, readers

CPP = Path(__file__).parents[2] / "examples" / "cpp"
EXAMPLE = CPP.parent / "0-mnist-like.png"
VECTORS = files("inkdigit.picture").joinpath("vectors.json")
COMPILER = shutil.which("g++") or shutil.which("c++")
# Debian puts the headers into a folder of their own; ONNXRUNTIME_ROOT is an unpacked release.
ROOTS = [Path(os.environ["ONNXRUNTIME_ROOT"])] if "ONNXRUNTIME_ROOT" in os.environ else []
HEADERS = [
    *(root / "include" for root in ROOTS),
    Path("/usr/include/onnxruntime"),
    Path("/usr/local/include/onnxruntime"),
]


def compiled(program: str, folder: Path, *options: str) -> Path:
    """A program of the example, compiled; skips where a library is missing."""
    if COMPILER is None:
        pytest.skip("no C++ compiler is installed")
    command = [COMPILER, "-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", f"{program}.cpp"]
    done = subprocess.run(
        [*command, "-o", str(folder / program), *options], cwd=CPP, capture_output=True, encoding="utf-8", check=False
    )
    if missing := re.search(r"fatal error: (nlohmann/json.hpp|onnxruntime_cxx_api.h)", done.stderr):
        pytest.skip(f"{missing[1]} is not installed")
    assert done.returncode == 0, done.stderr
    return folder / program


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, encoding="utf-8", check=False, timeout=60)


def test_preprocessing_in_cpp_gives_every_gray_vector_bit_for_bit(tmp_path):
    check = compiled("check", tmp_path)
    done = run(check, VECTORS)
    assert (done.returncode, done.stdout) == (0, "35 of 35 gray test vectors are the same, bit for bit\n"), done.stderr
    changed = json.loads(VECTORS.read_text(encoding="utf-8"))
    by_name = {vector["name"]: vector for vector in changed["vectors"]}
    by_name["16x16"]["expected"] = by_name["8x8"]["expected"]
    by_name["tall"]["expected"] = None
    (tmp_path / "changed.json").write_text(json.dumps(changed), encoding="utf-8")
    done = run(check, tmp_path / "changed.json")
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["16x16: other pixels", "tall: expected: not clean"]


def test_the_pages_name_the_picture_that_is_tried():
    for page in (CPP / "README.md", CPP.parents[1] / "docs" / "runtimes.md"):
        text = page.read_text(encoding="utf-8")
        assert f"open('../{EXAMPLE.name}')" in text
        assert set(re.findall(r"\w+\.pgm", text)) == {"zero.pgm"}


def test_predictions_in_cpp_are_those_of_the_package(tmp_path):
    headers = next((folder for folder in HEADERS if (folder / "onnxruntime_cxx_api.h").is_file()), None)
    if headers is None:
        pytest.skip("the headers of ONNX Runtime are not installed: libonnxruntime-dev, or ONNXRUNTIME_ROOT")
    lib = headers.parent / "lib"
    predict = compiled("predict", tmp_path, f"-I{headers}", f"-L{lib}", f"-Wl,-rpath,{lib}", "-lonnxruntime")
    pictures = [tmp_path / EXAMPLE.name]
    shutil.copy(EXAMPLE, pictures[0])
    with Image.open(EXAMPLE) as image:
        image.convert("L").save(pictures[0].with_suffix(".pgm"))
    for vector in json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]:
        if vector["channels"] == 1 and vector["kind"] == "ink" and vector["expected"]:
            image = Image.frombytes("L", (vector["width"], vector["height"]), b64decode(vector["pixels"]))
            pictures.append(tmp_path / f"{vector['name']}.png")
            image.save(pictures[-1])
            image.save(pictures[-1].with_suffix(".pgm"))
    for name in ("fast", "general"):
        done = run(predict, bundled()[name], *(picture.with_suffix(".pgm") for picture in pictures))
        assert done.returncode == 0, done.stderr
        for line, one in zip(done.stdout.splitlines(), load(name).predict(pictures), strict=True):
            _, said, *confidence = line.split("  ")
            assert said == (one.label or one.reason)
            if one.label:
                assert float(confidence[0].removesuffix(" %")) == pytest.approx(100 * one.confidence, abs=0.02)
    done = run(predict, readers()["line"], pictures[0].with_suffix(".pgm"))
    assert done.returncode == 2
    assert "a model for single digits" in done.stderr
