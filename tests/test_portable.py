"""Code that runs on Linux, macOS and Windows: what can be seen in the text, and what can be tried on one system.

That modules use only what a system has is checked by mypy for each of the three (`make lint`).
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "examples", "docs", "deploy")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
OPENERS = {"Image", "archive", "gzip", "os", "packed", "tarfile", "zipfile"}  # their `open` is another one
TEXT = {"read_text": 0, "write_text": 1}  # how many arguments stand before the encoding
STARTS = {"run", "Popen", "check_output", "check_call", "call"}
# What Windows has not: pipes with names, signals, users, processors of a process, /proc, devices as files.
POSIX = re.compile(
    r"\b(mkfifo|SIGKILL|SIGSTOP|SIGQUIT|SIGINT\)|killpg|pthread_kill|geteuid|getuid|statvfs|sysconf|wait4|preexec_fn|symlink_to)\b"
    r"|sched_[gs]etaffinity|/dev/(zero|null|full|fd)|/proc/"
)
GUARDS = ("hasattr(os", ".exists()", "os.name", "sys.platform", "is_dir()", "geteuid() == 0")
POSIX_MODULES = {"resource", "fcntl", "pwd", "grp", "termios"}
NEVER_ON_WINDOWS = ("tests/benchmarks/hardening", "tests/benchmarks/scale", "tests/scale", "tests/dockerfile.py")


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Every call with the name of the function, and of what it belongs to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, node.func.attr, ast.unparse(node.func.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node, node.func.id, ""


def lacks_encoding(call: ast.Call, name: str, owner: str) -> bool:
    """Whether a call reads or writes text in the encoding of the system."""
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given or None in given:
        return False
    if name in TEXT:
        return len(call.args) <= TEXT[name]
    if name in STARTS:
        return bool(given & {"text", "universal_newlines"})
    if name not in ("open", "fdopen", "TemporaryFile", "NamedTemporaryFile") or owner in OPENERS - {"os"}:
        return False
    if owner == "os" and name == "open":
        return False
    values = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
    modes = [v.value for v in values if isinstance(v, ast.Constant) and re.fullmatch(r"[rwaxbt+]{1,3}", str(v.value))]
    binary = any("b" in str(mode) for mode in modes)
    return not binary and (name in ("open", "fdopen") or bool(modes))


def test_text_is_never_in_the_encoding_of_the_system():
    found = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in SOURCES
        for call, name, owner in calls(ast.parse(path.read_text(encoding="utf-8")))
        if lacks_encoding(call, name, owner)
    ]
    assert not found, "say encoding='utf-8' (or text=True → encoding=…)"


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("p.read_text()", True),
        ("p.read_text(encoding='utf-8')", False),
        ("p.write_text('a')", True),
        ("p.open()", True),
        ("p.open('a', newline='')", True),
        ("p.open('rb')", False),
        ("open(p)", True),
        ("Image.open(p)", False),
        ("os.fdopen(d, 'w')", True),
        ("tempfile.TemporaryFile()", False),
        ("tempfile.TemporaryFile('w+')", True),
        ("subprocess.run(c, text=True)", True),
        ("subprocess.run(c)", False),
    ],
)
def test_a_call_without_encoding_is_found(text, lacks):
    ((call, name, owner),) = calls(ast.parse(text))
    assert lacks_encoding(call, name, owner) is lacks


def needs_posix(node: ast.AST, text: str) -> bool:
    """Whether a test uses what Windows has not, without a guard."""
    segment = ast.get_source_segment(text, node) or ""
    decorators = "".join(ast.unparse(each) for each in getattr(node, "decorator_list", []))
    return (
        bool(POSIX.search(segment))
        and "posix" not in decorators
        and not any(guard in decorators + segment for guard in GUARDS)
    )


def test_tests_of_what_windows_has_not_are_marked():
    found = []
    for path in SOURCES:
        name = path.relative_to(ROOT).as_posix()
        if not name.startswith("tests/") or name.startswith(NEVER_ON_WINDOWS) or path == Path(__file__):
            continue
        text = path.read_text(encoding="utf-8")
        if "pytestmark = pytest.mark.posix" in text:
            continue
        for node in ast.parse(text).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and needs_posix(node, text):
                found.append(f"{name}:{node.lineno} {node.name}")
    assert not found, "mark it with @pytest.mark.posix"


def imported(text: str) -> set[str]:
    """The modules that a file imports as soon as it is read."""
    body = ast.parse(text).body
    names = {alias.name for node in body if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in body if isinstance(node, ast.ImportFrom)}


def test_no_file_of_the_tests_needs_a_module_that_windows_lacks():
    """Windows reads every file of the tests, also those whose tests are all marked."""
    found = {
        path.relative_to(ROOT).as_posix(): lacking
        for path in SOURCES
        if path.is_relative_to(ROOT / "tests")
        and (lacking := imported(path.read_text(encoding="utf-8")) & POSIX_MODULES)
    }
    assert found == {}, "import it inside the function, with a fallback"


def test_an_import_at_the_top_is_found():
    text = "import os, resource\nfrom pwd import getpwnam\ndef f():\n    import fcntl\n"
    assert imported(text) & POSIX_MODULES == {"resource", "pwd"}


def test_every_file_can_be_checked_out_everywhere():
    """No name that Windows reserves or cannot write, none that differs from another in case alone, none too long."""
    paths = [
        path.relative_to(ROOT).as_posix()
        for folder in (*FOLDERS, "notebooks", ".github")
        for path in (ROOT / folder).rglob("*")
        if not {"__pycache__", "node_modules"} & {*path.parts}
    ]
    assert len(paths) > 600
    for path in paths:
        for part in path.split("/"):
            assert not re.search(r'[<>:"|?*\\\x00-\x1f]|[. ]$', part), path
            assert not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", part), path
        assert len(path) < 120, path
    assert len({path.lower() for path in paths}) == len(paths)


BLOCK = """
import sys
for name in ("fcntl", "resource", "uvloop", "pwd", "grp", "termios"):
    sys.modules[name] = None
import os
for name in ("sched_getaffinity", "getloadavg", "wait4", "fork", "O_NONBLOCK", "mkfifo", "geteuid", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
from inkdigit.__main__ import main
main()
"""


def without_posix(*words: object, **env: str) -> subprocess.CompletedProcess[bytes]:
    """A command in a Python that lacks what Windows lacks."""
    command = [sys.executable, "-c", BLOCK, *map(str, words)]
    return subprocess.run(command, capture_output=True, env={**os.environ, **env}, check=False, timeout=120)


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "examples/7-pen-on-paper.png"],
        ["read", "examples/numbers/amount.png"],
        ["info", "general"],
        ["data", "check", "sklearn-digits"],
        ["recipes", "fast"],
    ],
)
def test_commands_need_nothing_that_windows_lacks(words):
    done = without_posix(*(str(ROOT / word) if "/" in word else word for word in words))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout


@pytest.mark.parametrize(("encoding", "printed"), [("cp1252", "cp1252"), ("cp437", "cp437"), ("ascii", "utf-8")])
def test_answers_are_printed_in_any_encoding(encoding, printed, tmp_path):
    """What the encoding lacks is escaped; nothing is an error. Click takes ASCII for a mistake, and prints UTF-8."""
    name = tmp_path / "Grüße − 7.png"
    name.write_bytes((ROOT / "examples" / "7-pen-on-paper.png").read_bytes())
    for words in (
        ["predict", name],
        ["models"],
        ["info", "general"],
        ["recipes", "fast"],
        ["--help"],
        ["predict", "no−thing.png"],
    ):
        done = without_posix(*words, PYTHONIOENCODING=encoding)
        assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
        assert done.returncode == (3 if "no−thing.png" in words else 0)
        (done.stdout + done.stderr).decode(printed)


def test_the_locale_c_changes_no_answer():
    words = ("read", ROOT / "examples" / "numbers" / "amount.png", "--json")
    plain = without_posix(*words, PYTHONUTF8="1")
    bare = without_posix(*words, LC_ALL="C", LANG="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert plain.returncode == bare.returncode == 0
    assert plain.stdout == bare.stdout
