"""Errors that a docstring names, and its module does not import, as links in the reference of Python.

In: the package that Griffe has read. Out: the same, where each module knows the classes of `inkdigit.errors` by name.
"""

from __future__ import annotations

from typing import Any

import griffe


class Raised(griffe.Extension):
    """Makes every error known to every module."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add what a module lacks, as if it imported it."""
        waiting = [pkg]
        while waiting:
            module = waiting.pop()
            waiting += [one for one in module.modules.values() if not one.is_alias]
            for name, error in pkg["errors"].classes.items():
                if name not in module.members:
                    module.set_member(name, griffe.Alias(name, error.path, parent=module))
