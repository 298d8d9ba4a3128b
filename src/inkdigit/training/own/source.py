"""The source of a function of the user's: by it a run that is resumed knows whether it is the same function.

In: a function or class, or a text FILE.py:NAME that names one. Out: its `Source`: what defines it, and the functions,
classes and plain values of the same file (or notebook) that it uses. What it imports from elsewhere is not part of it.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from inkdigit.errors import UsageError, did_you_mean, first_line
from inkdigit.files import looking_up

Function = Callable[..., Any]
PLAIN = (bool, int, float, str, bytes, tuple, list, dict, set, frozenset, type(None))


@dataclass(frozen=True, slots=True)
class Source:
    """Where a function is defined, and the text that defines it."""

    name: str  # model.py:build
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def first_difference(self, before: str) -> str:
        """The first line that is not as it was in the text `before`, in words."""
        lines = difflib.unified_diff(before.splitlines(), self.text.splitlines(), n=0, lineterm="")
        for line in lines:
            if line[:1] in "+-" and line[:3] not in ("+++", "---") and line[1:].strip():
                return f"{'New' if line[0] == '+' else 'Gone'} is the line: {line[1:].strip()[:120]}"
        return "Only empty lines differ."


def source_of(function: Function, *, what: str) -> Source:
    """The source of a function, which is the argument `what` of the caller.

    Raises:
        UsageError: it is not to be found.
    """
    start, bound = _unwrapped(function)
    scope = _scope(start)
    texts: dict[str, str] = {"": bound} if bound else {}
    waiting: list[Any] = [start]
    while waiting:
        thing = waiting.pop()
        if thing.__qualname__ in texts:
            continue
        try:
            texts[thing.__qualname__] = _text(thing)
        except (OSError, TypeError, SyntaxError) as exc:
            raise UsageError(
                f"The source of {what}={getattr(function, '__qualname__', function)} cannot be read: {exc}",
                expected="a function or class that is defined in a file or a notebook",
            ) from exc
        for name in _names(thing):
            value = scope.get(name, scope)  # itself: nothing of that name
            if _is_defined_in(start.__module__, value):
                waiting.append(value)
            elif type(value) in PLAIN and " at 0x" not in repr(value):
                texts[name] = f"{name} = {value!r}\n"
    return Source(_place(start), "\n".join(texts[name] for name in sorted(texts)))


def _unwrapped(function: Function) -> tuple[Any, str]:
    """The function or class itself, and what `functools.partial` has bound of its arguments."""
    if isinstance(function, functools.partial):
        inner, bound = _unwrapped(function.func)
        return inner, f"{bound}# with {function.args!r}, {function.keywords!r}\n"
    if inspect.ismethod(function):
        return function.__func__, ""
    if inspect.isfunction(function) or inspect.isclass(function):
        return inspect.unwrap(function), ""
    return type(function), ""  # an object that can be called


def _scope(start: Any) -> dict[str, Any]:
    """The names that a function, or a class, can use: those of its file, and of the functions around it."""
    functions = [start] if inspect.isfunction(start) else [*filter(inspect.isfunction, vars(start).values())]
    if not functions:
        return dict(vars(sys.modules[start.__module__])) if start.__module__ in sys.modules else {}
    scope = dict(functions[0].__globals__)
    for function in functions:
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        scope |= {name: cell.cell_contents for name, cell in cells if name != "__class__"}
    return scope


def _is_defined_in(module: str, value: Any) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module


def _names(thing: Any) -> list[str]:
    """The names that the code of a function, or of the functions and bases of a class, uses."""
    if inspect.isfunction(thing):
        return sorted({name for code in _codes(thing.__code__) for name in (*code.co_names, *code.co_freevars)})
    inside = [name for member in vars(thing).values() if inspect.isfunction(member) for name in _names(member)]
    return sorted({*inside, *(base.__name__ for base in thing.__bases__)})


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _text(thing: Any) -> str:
    """The lines that define a function or a class.

    Raises:
        OSError: they are not to be found.
    """
    if inspect.isclass(thing):
        for member in filter(inspect.isfunction, vars(thing).values()):
            lines = inspect.findsource(member)[0]  # Python finds no class of a notebook, but the functions in it
            for node in ast.walk(ast.parse("".join(lines))):
                if isinstance(node, ast.ClassDef) and _holds(node, thing, member):
                    return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
    return textwrap.dedent(inspect.getsource(thing))


def _holds(node: ast.ClassDef, cls: type, member: FunctionType) -> bool:
    first = member.__code__.co_firstlineno
    return node.name == cls.__name__ and node.lineno <= first <= (node.end_lineno or 0)


def _place(thing: Any) -> str:
    """File and name, without the folder: a card does not tell where its maker lives."""
    path = file_of(thing)
    return f"{path.name if path.is_file() else thing.__module__}:{thing.__qualname__}"


def file_of(function: Function) -> Path:
    """The file, or cell of a notebook, that defines a function or a class; an empty path if it is not known."""
    thing, _ = _unwrapped(function)
    code = [member.__code__ for member in (thing, *vars(thing).values()) if inspect.isfunction(member)]
    return Path(code[0].co_filename if code else "")


def load_function(text: str, *, option: str) -> Function:
    """The function that FILE.py:NAME names, from running that file; `option` had the text.

    The folder of the file is then one that modules are imported from, as that of a script.

    Raises:
        UsageError: there is no such file or name, or the file cannot be run.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise UsageError(f"{option} {text[:200]!r} names no function", expected="FILE.py:NAME, as in model.py:build")
    path = Path(place).expanduser()
    with looking_up(place):
        if not path.is_file():
            raise UsageError(f"{option}: there is no file {place}", expected="FILE.py:NAME, as in model.py:build")
    known = vars(_run(path, option))
    function = known.get(name)
    if not callable(function):
        own = [key for key, value in known.items() if _is_defined_in(known["__name__"], value)]
        wrong = f"has no {name!r}" if name not in known else f"has {name!r}, which cannot be called"
        raise UsageError(f"{option}: {path} {wrong}", hint=did_you_mean(name, own) or f"It has {', '.join(own[:8])}.")
    loaded: Function = function
    return loaded


def _run(path: Path, option: str) -> ModuleType:
    """The module of a file of the user's.

    Raises:
        UsageError: it is not Python, or running it fails.
    """
    spec = spec_from_file_location(f"inkdigit_own_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{option}: {path} is not a Python file", expected="a name that ends in .py")
    module = module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:  # the user's code may raise anything
        raise UsageError(f"{option}: {path} cannot be run: {told(exc, path)}") from exc
    finally:
        del sys.modules[spec.name]  # so that its functions travel to other processes by value: they cannot import it
    return module


def told(exc: BaseException, path: Path) -> str:
    """What an error in the user's file `path` says, and in which line of it."""
    line = exc.lineno if isinstance(exc, SyntaxError) else None
    trace = exc.__traceback__
    while trace is not None and not isinstance(exc, SyntaxError):
        if Path(trace.tb_frame.f_code.co_filename).resolve() == path.resolve():
            line = trace.tb_lineno
        trace = trace.tb_next
    words = exc.msg if isinstance(exc, SyntaxError) else first_line(exc)
    return f"{type(exc).__name__}{'' if line is None else f' in line {line} of {path.name}'}: {words[:200]}"
