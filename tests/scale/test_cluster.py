"""The connection to Ray: every way in which there is none is one error."""

from __future__ import annotations

import socket

import pytest

from inkdigit.errors import EngineError, NoCluster, UsageError
from inkdigit.scale.cluster import check_version, connected, uses_ray


@pytest.mark.parametrize("address", ["somewhere", "127.0.0.1", ":6379", "127.0.0.1:port"])
def test_an_address_that_is_not_one(address):
    with pytest.raises(UsageError, match="HOST:PORT"):
        uses_ray("ray", address)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "no-such-host.invalid:6379", "ray://127.0.0.1:99999"])
def test_an_address_where_nobody_answers(address):
    with pytest.raises(NoCluster, match="There is no cluster at"):
        uses_ray("ray", address)


@pytest.mark.parametrize(
    "problem",
    [
        RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.1.0\n    Python: 3.9.0"),
        ConnectionError("ray client connection timeout"),
    ],
)
def test_a_cluster_of_other_versions_or_something_else_that_listens(problem, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra scale is not installed")
    if ray.is_initialized():
        monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: object) -> None:
        raise problem

    monkeypatch.setattr(ray, "init", refuse)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NoCluster, match=str(problem).splitlines()[0]), connected(address):
            pass


def test_a_machine_with_another_version_of_inkdigit():
    with pytest.raises(EngineError, match=r"has another version of Inkdigit\. Expected: 9\.9\.9\. Received: "):
        check_version("9.9.9")
