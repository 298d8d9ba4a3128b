"""The container, as far as it can be tested without an engine: what it is built from, and how it is run."""

from __future__ import annotations

import json
import re
import shlex
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any

import httpx
import pytest
import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from inkdigit.cli.app import app
from inkdigit.serve.settings import Settings

from .dockerfile import ROOT, instructions, is_sent, last
from .serve.conftest import make_server, served, server, start_server

__all__ = ["make_server", "served", "server", "start_server"]  # fixtures

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PORT = str(Settings().port)


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    (service,) = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"].values()
    return dict(service)


def copied() -> list[str]:
    """What is copied from the folder of the project."""
    copies = [words.split() for name, words in instructions() if name == "COPY" and "--from" not in words]
    return [source for *sources, _ in copies for source in sources]


def test_what_is_copied_is_there_and_is_not_ignored():
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert is_sent(source), source
    for file in (ROOT / "src").rglob("*"):
        if file.is_file():
            name = str(file.relative_to(ROOT))
            assert is_sent(name) == ("__pycache__" not in name), name


@pytest.mark.parametrize("name", [".git/config", ".venv/bin/python", "runs/a/model.onnx", "data/x.gz", "tests/a.py"])
def test_what_is_not_needed_is_not_sent(name):
    assert not is_sent(name)


def test_what_building_the_project_reads_is_copied():
    assert {"README.md", *PROJECT["license-files"], "pyproject.toml", "src"} <= set(copied())


def test_what_pip_is_told_to_install_is_there_and_holds_no_training_library():
    (line,) = [words for name, words in instructions() if name == "RUN" and "pip install" in words]
    words = shlex.split(line)
    assert words[words.index("-c") + 1] in copied()
    (extra,) = [found[1] for word in words if (found := re.fullmatch(r"\.\[(\w+)\]", word))]
    names = {Requirement(each).name for each in PROJECT["optional-dependencies"][extra] + PROJECT["dependencies"]}
    assert {"fastapi", "uvicorn", "onnxruntime"} <= names
    assert not names & {"inkdigit", "torch", "matplotlib", "scikit-learn", "polars"}


def test_every_stage_is_of_one_image_that_stays_the_same_and_whose_python_the_project_takes():
    first, *others = [words for name, words in instructions() if name == "FROM"]
    # No host of a registry before it; the digest is what counts, the tag says what it is.
    found = re.fullmatch(r"python:(3\.\d+)-slim@sha256:[0-9a-f]{64} AS base", first)
    assert found
    assert SpecifierSet(PROJECT["requires-python"]).contains(found[1])
    assert [each.split()[0] for each in others] == ["base", "base"]


def test_the_image_says_what_it_is():
    labels = dict(part.split("=", 1) for part in shlex.split(last("LABEL")))
    names = {name.removeprefix("org.opencontainers.image.") for name in labels}
    assert names == {"title", "description", "licenses", "vendor", "version", "revision"}
    assert labels["org.opencontainers.image.licenses"] == PROJECT["license"]
    assert labels["org.opencontainers.image.vendor"] == PROJECT["authors"][0]["name"]
    given = {words.split("=")[0] for name, words in instructions() if name == "ARG"}
    for name in ("version", "revision"):
        assert labels[f"org.opencontainers.image.{name}"] == f"${{{name.upper()}}}"
        assert name.upper() in given


@pytest.mark.parametrize("words", [json.loads(last("CMD").split("CMD")[-1]), compose()["command"]])
def test_what_is_run_is_a_command_with_these_options(words):
    program, command, *rest = [*json.loads(last("ENTRYPOINT")), *words]
    assert program in PROJECT["scripts"]
    context = typer.main.get_command(app).commands[command].make_context(command, rest)
    assert context.params["host"] == "0.0.0.0"
    assert context.params["port"] == int(PORT)


def test_it_is_not_root_and_has_one_place_to_write():
    user, group = last("USER").split(":")
    (made,) = [words for name, words in instructions() if name == "RUN" and "useradd" in words]
    assert int(user) > 0
    assert f"--uid {user} --gid {group} " in made
    assert f"install --directory --owner {user} --group {group} /data" in made
    command = compose()["command"]
    kept = PurePosixPath(command[command.index("--collect") + 1])
    assert [volume.split(":")[1] for volume in compose()["volumes"]] == [str(kept.parent)] == ["/data"]


def test_compose_holds_it_in():
    service = compose()
    assert service["read_only"] is True
    assert [place.split(":")[0] for place in service["tmpfs"]] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["pids_limit"] <= 256
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["ports"] == [f"127.0.0.1:{PORT}:{last('EXPOSE')}"]  # this machine alone
    assert "privileged" not in service
    assert service["environment"] == {"INKDIGIT_TOKEN": "${INKDIGIT_TOKEN:-}"}  # never a token of its own
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds > 2 * Settings().time_limit_s + 1  # reading and answering what is in flight


def health(command: Path, *, default: int | str = PORT) -> int:
    """The exit code of the health check, where `command` is the file that holds the command of the container."""
    words = json.loads(last("HEALTHCHECK").partition("CMD")[2])
    assert words[-1].count("/proc/1/cmdline") == words[-1].count(f"'{PORT}'") == 1
    words[-1] = words[-1].replace("/proc/1/cmdline", str(command)).replace(f"'{PORT}'", f"'{default}'")
    return subprocess.run([sys.executable, *words[1:]], capture_output=True, check=False).returncode


def written(path: Path, *words: object) -> Path:
    """A file like /proc/1/cmdline."""
    path.write_text(
        "".join(f"{word}\0" for word in ("/opt/inkdigit/bin/python", "inkdigit", "serve", *words)), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize(
    "words",
    [
        ["--port", "{}"],
        ["--port={}"],
        ["--host", "0.0.0.0", "--port", "{}", "--workers", "2"],
        ["--port", "1", "--port={}"],
    ],
)
def test_the_health_check_finds_a_service_that_is_ready(server, tmp_path, words):
    port = server.rpartition(":")[2]
    assert health(written(tmp_path / "cmdline", *(word.format(port) for word in words))) == 0


def test_without_a_port_it_asks_at_the_usual_one(server, tmp_path):
    command = written(tmp_path / "cmdline", "--host", "0.0.0.0")
    assert health(command, default=server.rpartition(":")[2]) == 0
    assert health(command, default=1) == 1


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc on this system")
def test_the_health_check_follows_the_port_of_a_running_service(make_server):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = make_server("--host", "0.0.0.0", "--port", port)
    assert service.url.endswith(f":{port}")
    assert health(Path(f"/proc/{service.process.pid}/cmdline"), default=1) == 0


@pytest.fixture
def unready() -> Iterator[int]:
    """The port of a service whose models are not loaded."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.handle_request)
        thread.start()
        yield running.server_port
        thread.join()


def test_the_health_check_fails_where_nothing_is_ready(unready, tmp_path):
    assert health(written(tmp_path / "cmdline", "--port", unready)) == 1
    assert health(written(tmp_path / "cmdline", "--port", 1)) == 1


@pytest.mark.posix
def test_it_starts_and_answers_where_nothing_can_be_written(start_server, tmp_path):
    """Its home is below a file, where even root can make nothing; what it wrote beside it would be seen."""
    variables = dict(pair.split("=") for pair in last("ENV").split() if not pair.startswith("PATH="))
    here, temporary = tmp_path / "here", tmp_path / "tmp"
    for folder in (here, temporary):
        folder.mkdir()
    env = {**variables, "HOME": "/dev/null/home", "XDG_CACHE_HOME": "/dev/null/cache", "TMPDIR": str(temporary)}
    service = start_server("--host", "0.0.0.0", env=env, cwd=here)
    picture = (ROOT / "examples" / "7-pen-on-paper.png").read_bytes()
    (answer,) = httpx.post(f"{service.url}/predict", content=picture).json()["predictions"]
    assert answer["label"] == "7"
    assert service.stop() == 0
    assert [*here.iterdir(), *temporary.iterdir()] == []
    messages = [line for line in service.lines if not line.startswith("{")]
    assert [line.split()[0] for line in messages] == ["Open", "Warning:"]
