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
import linecache
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from reprlib import recursive_repr
from types import CodeType, FunctionType, ModuleType
from typing import Any

from inkdigit.errors import UsageError, did_you_mean, first_line
from inkdigit.files import looking_up

Function = Callable[..., Any]
FILE = "__inkdigit_file__"  # of a class that was loaded by its path: a class without functions does not know it
GENERATED = "<string>"  # where Python says that the functions of a dataclass are
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
    scope, path = _scope(start), file_of(start)
    texts: dict[str, str] = {"": bound} if bound else {}
    waiting: list[Any] = [start]
    while waiting:
        thing = waiting.pop()
        if thing.__qualname__ in texts:
            continue
        try:
            texts[thing.__qualname__] = _text(thing, path)
        except (OSError, TypeError, SyntaxError) as exc:
            raise UsageError(
                f"The source of {what}={getattr(function, '__qualname__', function)} cannot be read: {exc}",
                expected="a function or class that is defined in a file or a notebook",
            ) from exc
        for name in filter(scope.__contains__, _names(thing, texts[thing.__qualname__])):
            value = scope[name]
            if _is_defined_in(start.__module__, value):
                waiting.append(value)
            elif type(value) in PLAIN and " at 0x" not in (written := _written(value)):
                texts[name] = f"{name} = {written}\n"
    return Source(_place(start), "\n".join(texts[name] for name in sorted(texts)))


def _unwrapped(function: Function) -> tuple[Any, str]:
    """The function or class itself, and what `functools.partial` has bound of its arguments."""
    if isinstance(function, functools.partial):
        inner, bound = _unwrapped(function.func)
        return inner, f"{bound}# with {_written(function.args)}, {_written(function.keywords)}\n"
    if inspect.ismethod(function):
        return function.__func__, ""
    if inspect.isfunction(function) or inspect.isclass(function):
        return inspect.unwrap(function), ""
    return type(function), ""  # an object that can be called


@recursive_repr()
def _written(value: object) -> str:
    """A value as `repr` writes it, but the members of a set in order: as they are stored, it is another each time."""
    match value:
        case set() | frozenset() if value and type(value) in PLAIN:
            members = f"{{{', '.join(sorted(map(_written, value)))}}}"
            return members if type(value) is set else f"frozenset({members})"
        case list() if type(value) in PLAIN:
            return f"[{', '.join(map(_written, value))}]"
        case tuple() if type(value) in PLAIN:
            return f"({', '.join(map(_written, value))}{',' if len(value) == 1 else ''})"
        case dict() if type(value) in PLAIN:
            return f"{{{', '.join(f'{_written(key)}: {_written(item)}' for key, item in value.items())}}}"
    return repr(value)


def _scope(start: Any) -> dict[str, Any]:
    """The names that a function, or a class, can use: its bases, those of its file, and of the functions around it.

    Of a class without functions its file's names are not known, but its attributes, which they have become.
    """
    classes = inspect.getmro(start) if inspect.isclass(start) else ()
    scope = {cls.__name__: cls for cls in reversed(classes)}
    functions = [function for each in _family(start) for function in _functions(each)]
    if functions:
        scope |= functions[0].__globals__
    elif classes:
        scope |= vars(start)
    for function in functions:
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            with suppress(ValueError):  # it has no value yet
                scope |= {name: cell.cell_contents} if name != "__class__" else {}
    return scope


def _family(thing: Any) -> list[Any]:
    """A function or class, and the bases of a class that are of the same file."""
    return [thing, *(base for base in getattr(thing, "__mro__", ())[1:] if base.__module__ == thing.__module__)]


def _functions(thing: Any) -> list[FunctionType]:
    """A function itself; the methods and properties that the text of a class defines, without their decorators."""
    members = list(vars(thing).values()) if inspect.isclass(thing) else [thing]
    functions = [inspect.unwrap(inner) for inner in map(_undecorated, members) if inspect.isfunction(inner)]
    return [
        function
        for function in functions
        if function.__module__ == thing.__module__ and function.__code__.co_filename != GENERATED
    ]


def _undecorated(member: object) -> object:
    """The function in a member of a class that is a property or a static method, for example; else the member."""
    match member:
        case property():
            return member.fget
        case functools.cached_property():
            return member.func
        case staticmethod() | classmethod():
            return member.__func__
    return member


def _is_defined_in(module: str, value: Any) -> bool:
    return (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module


def _names(thing: Any, text: str) -> list[str]:
    """The names that the code of a function, or the functions, attributes and bases of a class, use."""
    codes = [code for function in _functions(thing) for code in _codes(function.__code__)]
    names = {name for code in codes for name in (*code.co_names, *code.co_freevars)}
    if inspect.isclass(thing):
        names |= {base.__name__ for base in thing.__bases__} | _names_in_body(text)
    return sorted(names)


def _names_in_body(text: str) -> set[str]:
    """The names that a class uses outside of its functions."""
    with suppress(SyntaxError):  # of a text within another, with a string of several lines
        nodes = [node for cls in ast.parse(text).body for node in getattr(cls, "body", [])]
        inside = [part for node in nodes if not isinstance(node, ast.FunctionDef) for part in ast.walk(node)]
        return {part.id for part in inside if isinstance(part, ast.Name)}
    return set()


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _text(thing: Any, path: Path) -> str:
    """The lines that define a function, or a class that is in the file `path` if its functions do not say where.

    Raises:
        OSError: they are not to be found.
    """
    if inspect.isclass(thing):  # Python itself finds no class of a notebook, nor of a file that is not imported
        functions = [function.__code__ for function in _functions(thing)]
        for file in [code.co_filename for code in functions] or _files(path):
            lines, nodes = _classes(file, thing.__name__)
            starts = [code.co_firstlineno for code in functions if code.co_filename == file]
            for node in nodes:
                if not starts or any(node.lineno <= start <= (node.end_lineno or 0) for start in starts):
                    return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
    return textwrap.dedent(inspect.getsource(thing))


def _files(path: Path) -> list[str]:
    """Where a class without functions may be: the file, or the cells of a notebook, the last one first."""
    return [str(path), *(file for file in reversed(linecache.cache) if not Path(file).is_file())]


def _classes(file: str, name: str) -> tuple[list[str], list[ast.ClassDef]]:
    """The lines of a file or cell, and the classes of that name in it, the last one first."""
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    try:
        nodes = list(ast.walk(ast.parse("".join(lines))))
    except SyntaxError:  # a cell that was never run
        return lines, []
    return lines, [node for node in reversed(nodes) if isinstance(node, ast.ClassDef) and node.name == name]


def _place(thing: Any) -> str:
    """File and name, without the folder: a card does not tell where its maker lives."""
    path = file_of(thing)
    return f"{path.name if path.is_file() else thing.__module__}:{thing.__qualname__}"


def file_of(function: Function) -> Path:
    """The file, or cell of a notebook, that defines a function or a class; an empty path if it is not known."""
    thing, _ = _unwrapped(function)
    for member in (member for each in _family(thing) for member in _functions(each)):
        return Path(member.__code__.co_filename)
    try:
        return Path(vars(thing).get(FILE) or inspect.getfile(thing))
    except (TypeError, OSError):
        return Path()


def option_of(function: Function, option: str) -> list[str] | None:
    """The option from which `load_function` loads the same function; None if there is none.

    Only a name at the top of a file can be loaded; a script would run, and a module of a package misses its package.
    """
    path, name = file_of(function), getattr(function, "__qualname__", "")
    if not path.is_file() or not name.isidentifier() or function.__module__ == "__main__" or "." in function.__module__:
        return None
    here = Path.cwd()
    return [option, f"{path.relative_to(here) if path.is_relative_to(here) else path}:{name}"]


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
    module = _run(path, option)
    known = vars(module)
    function = known.get(name)
    if not callable(function):
        own = [key for key, value in known.items() if _is_defined_in(module.__name__, value)]
        wrong = f"has no {name!r}" if name not in known else f"has {name!r}, which cannot be called"
        raise UsageError(f"{option}: {path} {wrong}", hint=did_you_mean(name, own) or f"It has {', '.join(own[:8])}.")
    if inspect.isclass(function) and function.__module__ == module.__name__:
        setattr(function, FILE, str(path.resolve()))
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
