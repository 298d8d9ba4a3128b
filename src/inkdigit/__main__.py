"""The command `inkdigit`, and `python -m inkdigit`: the command line, or one line about a missing library.

In: `sys.argv`. Out: the output of the command, and its exit code. Nothing is imported here that has to be installed.
"""

from __future__ import annotations

import gc
import sys

from inkdigit.errors import InkdigitError, MissingExtra, pip_install


def main() -> None:
    """Run the command line; a library that cannot be loaded is one line and its exit code, a bug stays a traceback."""
    gc.set_threshold(50_000)  # imports throw nothing away: to look for garbage after every 700 new objects finds none
    try:
        from inkdigit.cli.app import main as run

        run()
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] == "inkdigit":
            raise  # our own module: a bug
        sys.stderr.write(f"Error: {describe(exc)}\n")
        sys.exit(MissingExtra.exit_code)
    finally:
        gc.freeze()  # nor does looking once more at the end; together it is a fifth of a short command


def describe(exc: ImportError) -> InkdigitError:
    """The error of a library that is not installed, or that cannot be loaded, with the reason."""
    cause: BaseException = exc
    while cause.__cause__ is not None:  # NumPy's own message is a page of advice; its cause is the system's message
        cause = cause.__cause__
    library = (exc.name or getattr(cause, "name", None) or "A library").partition(".")[0]
    if isinstance(cause, ModuleNotFoundError):
        problem = f"Inkdigit needs {cause.name}, which is not installed"
    else:
        problem = f"{library} cannot be loaded: {' '.join(str(cause).split())[:500]}"
    if library in sys.stdlib_module_names:
        return InkdigitError(problem, hint="It belongs to Python: install a Python that has it.")
    again = pip_install().replace("install", "install --force-reinstall", 1)
    return InkdigitError(problem, hint=f"Install it again with: {again}")


if __name__ == "__main__":
    main()
