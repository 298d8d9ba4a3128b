"""One Ray on this machine for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Ray with two processors, started once."""
    pytest.importorskip("ray", reason="the extra scale is not installed")
    from inkdigit.scale.cluster import connected

    with connected(workers=2):
        yield
