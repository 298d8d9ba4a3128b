"""The Dockerfile read, and carried out without an engine: each stage is a layer over a root file system.

In: a root that stands for the base image: that of this machine, or a fresh Debian. Out: what the image would hold, and
processes in it as an engine starts them: another user, no capability, a file system that cannot be written. It needs
root, and a kernel that gives namespaces and overlays: `why_not` says what is missing.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
# What `docker build` hands to a RUN of its own environment, so to say: where pip finds packages.
HANDED_ON = ("PIP_", "SSL_", "REQUESTS_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, an instruction and its words an entry."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in text.splitlines() if line.strip()]


def last(name: str) -> str:
    """The words of the last instruction of a kind."""
    return [words for instruction, words in instructions() if instruction == name][-1]


def is_sent(path: str) -> bool:
    """Whether `.dockerignore` lets a file into the build: the last pattern that fits it or a folder above it says."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        pattern = line.removeprefix("!")
        names = [path, *map(str, PurePosixPath(path).parents)][:-1] or [path]
        deep = pattern.removeprefix("**/")
        if any(fnmatch(name, pattern) or (deep != pattern and fnmatch(Path(name).name, deep)) for name in names):
            sent = line.startswith("!")
    return sent


@dataclass
class Stage:
    """A stage of the build: a layer over the root of the base image, and what the instructions have set."""

    base: Path
    folder: Path
    env: dict[str, str]
    workdir: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)

    @property
    def layer(self) -> Path:
        """What the stage has written."""
        return self.folder / "layer"

    def start(
        self,
        words: list[str],
        *,
        user: str = "0:0",
        read_only: bool = False,
        mounts: dict[Path, str] | None = None,
        **more,
    ) -> subprocess.Popen[bytes]:
        """Start a command in the root, as process 1 of its own."""
        for name in ("layer", "work", "root"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        root, (uid, gid) = shlex.quote(str(self.folder / "root")), user.split(":")
        layers = f"lowerdir={self.base},upperdir={self.layer},workdir={self.folder / 'work'}"
        script = [f"mount -t overlay overlay -o {'ro,' if read_only else ''}{shlex.quote(layers)} {root}"]
        script += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        script += [f"mount -t tmpfs tmpfs {root}/tmp"] if read_only else []
        for here, there in (mounts or {}).items():
            bind = f"mount --bind {shlex.quote(str(here))} {root}{there}"
            script += [bind, f"mount -o remount,ro,bind {root}{there}"]
        variables = [f"{name}={value}" for name, value in self.env.items()]
        bound = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs"]
        bound += ["--bounding-set=-all", "--inh-caps=-all"] if uid != "0" else []
        inside = ["env", "-i", *variables, "sh", "-c", f'cd {shlex.quote(self.workdir)} && exec "$@"', "sh", *words]
        script.append(shlex.join(["exec", "chroot", str(self.folder / "root"), *bound, *inside]))
        return subprocess.Popen([*NAMESPACES, "sh", "-ec", "\n".join(script)], **more)

    def run(self, words: list[str], *, stdin: bytes = b"", **options) -> str:
        """Run a command to its end; what it printed."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self.start(words, **options, **pipes) as process:
            out, err = process.communicate(stdin, timeout=900)
        assert process.returncode == 0, f"{shlex.join(words)} ended with {process.returncode}:\n{err.decode()[-3000:]}"
        return out.decode()

    def enter(self, process: subprocess.Popen[bytes], words: list[str]) -> int:
        """Run a command beside one that was started, as the health check of an engine does; its exit code."""
        inside = ["nsenter", f"--target={first_process(process)}", "--mount", "--pid", "--root", "--wd=/"]
        variables = [f"{name}={value}" for name, value in self.env.items()]
        return subprocess.run([*inside, "env", "-i", *variables, *words], capture_output=True, check=False).returncode


def first_process(process: subprocess.Popen[bytes]) -> int:
    """The number that process 1 of a started command has outside; it appears a moment after `start`."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    for _ in range(100):
        if found := children.read_text(encoding="ascii").split():
            return int(found[0])
        time.sleep(0.05)
    raise AssertionError("the command has ended")


def build(base: Path, folder: Path, *, borrow: bool) -> Stage:
    """Carry out the Dockerfile; `base` is the root that stands for its image.

    With `borrow` the environment that pip makes sees the libraries of this one, so that only Inkdigit is installed.
    """
    stages: dict[str, Stage] = {}
    for name, words in instructions():
        if name == "FROM":
            stage = Stage(base, folder / str(len(stages)), {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"})
            stages[words.split(" AS ")[1] if " AS " in words else "image"] = stage
            _call_python(stage)
        elif name == "COPY":
            _copy(stage, words, stages)
        elif name == "RUN":
            handed = {key: value for key, value in os.environ.items() if key.startswith(HANDED_ON)}
            layered = Stage(stage.base, stage.folder, {"HOME": "/root", **handed, **stage.env}, stage.workdir)
            layered.run(["sh", "-c", words])
            if borrow and "-m venv" in words:
                _lend(stage, words.split()[-1])
        elif name == "ENV":
            for pair in shlex.split(words):
                key, _, value = pair.partition("=")
                stage.env[key] = value.replace("$PATH", stage.env["PATH"])
        elif name == "WORKDIR":
            stage.workdir = words
            (stage.layer / words.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif name == "USER":
            stage.user = words
        elif name == "ENTRYPOINT":
            stage.entrypoint = json.loads(words)
        else:
            assert name in {"ARG", "LABEL", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "CMD"}, name
    return stages["image"]


def _call_python(stage: Stage) -> None:
    """Give the interpreter of the base the name that it has in Python's own images."""
    at = stage.layer / "usr/local/bin/python"
    at.parent.mkdir(parents=True)
    at.symlink_to(system_python() if stage.base == Path("/") else "/usr/bin/python3")


def system_python() -> str | None:
    """This machine's own interpreter of the version that runs here: others than root may not reach the one of pyenv."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return shutil.which(name, path="/usr/local/bin:/usr/bin")


def _lend(stage: Stage, environment: str) -> None:
    (packages,) = (stage.layer / environment.lstrip("/")).glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")


def _copy(stage: Stage, words: str, stages: dict[str, Stage]) -> None:
    """COPY: what `.dockerignore` lets through of this folder, or a folder of another stage."""
    parts = words.split()
    if parts[0].startswith("--from="):
        source, target = (each.lstrip("/") for each in parts[1:])
        shutil.copytree(stages[parts[0].removeprefix("--from=")].layer / source, stage.layer / target, symlinks=True)
        return
    *sources, place = parts
    into = stage.layer / stage.workdir.lstrip("/") / place
    for source in sources:
        if (ROOT / source).is_file():
            shutil.copy(ROOT / source, into)
            continue
        for file in (ROOT / source).rglob("*"):
            name = file.relative_to(ROOT)
            if file.is_file() and is_sent(str(name)):
                (to := into / file.relative_to(ROOT / source)).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, to)


def why_not(folder: Path) -> str | None:
    """Why this machine cannot carry out a Dockerfile; None if it can."""
    if sys.platform != "linux" or os.geteuid():
        return "only root on Linux may make a root file system"
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    if system_python() is None:
        return "the system has no interpreter of this version"
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONPATH": sysconfig.get_path("purelib")}
    stage = Stage(Path("/"), folder, variables)
    try:
        stage.run(["true"])
        stage.run([str(system_python()), "-c", "import numpy"], user=last("USER"), read_only=True)
    except AssertionError as exc:
        return f"no namespaces or overlays here, or no other user may read the libraries: {exc}"
    return None
