"""The image without an engine: its root is made by the Dockerfile, and asked for predictions and readings."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from . import dockerfile
from .dockerfile import ROOT, Stage

START_S = 60
USER = dockerfile.last("USER") if sys.platform == "linux" else ""


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("container")
    if (reason := dockerfile.why_not(folder / "try")) is not None:
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="module")
def image(place) -> Stage:
    """Over the system of this machine, with its libraries: only Inkdigit itself is installed."""
    try:
        return dockerfile.build(Path("/"), place / "quick", borrow=True)
    except AssertionError as exc:
        if "hatchling" in str(exc):  # pip builds in an environment of its own
            pytest.skip("hatchling cannot be downloaded here")
        raise


def check_answers(image: Stage) -> None:
    """One prediction, one reading, the health check; then a stop."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [*image.entrypoint, "serve", "--host", "0.0.0.0", "--port", str(port)]
    process = image.start(words, user=USER, read_only=True, stderr=subprocess.PIPE)
    health = json.loads(dockerfile.last("HEALTHCHECK").partition("CMD")[2])
    try:
        deadline = time.monotonic() + START_S
        while image.enter(process, health) and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.2)
        first = dockerfile.first_process(process)
        status = Path(f"/proc/{first}/status").read_text(encoding="ascii")
        assert f"Uid:\t{USER.split(':')[0]}\t" in status
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        url = f"http://127.0.0.1:{port}"
        picture = (ROOT / "examples" / "7-pen-on-paper.png").read_bytes()
        assert httpx.get(f"{url}/health/ready").status_code == 200
        assert httpx.post(f"{url}/predict", content=picture).json()["predictions"][0]["label"] == "7"
        number = (ROOT / "examples" / "numbers" / "amount.png").read_bytes()
        assert httpx.post(f"{url}/read", content=number, timeout=30).json()["readings"][0]["numbers"]
        os.kill(first, signal.SIGTERM)
        assert process.wait(START_S) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def check_reads(image: Stage) -> None:
    """The same image reads the files of a folder that is mounted, and what comes through a pipe."""
    mounts = {ROOT / "examples": "/data"}
    options = {"user": USER, "read_only": True, "mounts": mounts}
    out = image.run([*image.entrypoint, "read", "numbers/amount.png", "--json"], **options)
    assert json.loads(out)["numbers"][0]["text"]
    out = image.run([*image.entrypoint, "predict", "7-pen-on-paper.png"], **options)
    assert out.split()[:2] == ["7-pen-on-paper.png", "7"]
    picture = (ROOT / "examples" / "7-pen-on-paper.png").read_bytes()
    out = image.run([*image.entrypoint, "predict", "-"], stdin=picture, user=USER, read_only=True)
    assert out.split()[1] == "7"


def check_holds_little(image: Stage) -> None:
    """Nothing can be written, and there is no training library of its own."""
    code = (
        "import os, sys\n"
        "for place in ('/', '/data', '/opt/inkdigit', '/home', '/var/tmp'):\n"
        "    try:\n"
        "        open(place + '/new', 'w')\n"
        "    except OSError:\n"
        "        continue\n"
        "    sys.exit(place)\n"
    )
    image.run(["python", "-c", code], user=USER, read_only=True)
    (packages,) = (image.layer / "opt/inkdigit").glob("lib/python*/site-packages")
    assert (packages / "inkdigit" / "__init__.py").is_file()
    assert not (packages / "torch").exists()
    assert not (image.layer / "build").exists()


def test_the_service_answers_as_another_user_where_nothing_can_be_written(image):
    check_answers(image)


def test_the_same_image_reads_pictures(image):
    check_reads(image)


def test_the_image_holds_what_it_needs_alone(image):
    check_holds_little(image)


@pytest.mark.slow
def test_over_a_fresh_debian_all_of_it_is_installed_and_works(place):
    """The release of Debian that the image has, with its Python; every library comes from the package index."""
    debootstrap = shutil.which("debootstrap")
    if debootstrap is None:
        pytest.skip("debootstrap is not installed")
    fresh = place / "debian"
    command = [debootstrap, "--variant=minbase", "--include=python3,python3-venv,ca-certificates", "trixie", fresh]
    made = subprocess.run(command, capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"debootstrap cannot make a Debian here: {made.stdout[-300:]!r}")
    for name in ("etc/pip.conf", "etc/resolv.conf", "etc/hosts", "root/.config/pip/pip.conf"):  # where packages are
        if Path("/", name).is_file():
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path("/", name), fresh / name)
    shutil.copytree("/etc/ssl/certs", fresh / "etc/ssl/certs", dirs_exist_ok=True)
    image = dockerfile.build(fresh, place / "slow", borrow=False)
    check_answers(image)
    check_reads(image)
    check_holds_little(image)
