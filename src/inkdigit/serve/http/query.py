"""The parameters in the query of a request: those that a route does not know are refused, not ignored.

In: a request, and what its route says of its parameters. Out: nothing, or one error.
"""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute

from inkdigit.errors import UsageError, did_you_mean


async def check_query(request: Request) -> None:
    """Check that a route knows each parameter that it is sent, once.

    Raises:
        UsageError: one is unknown, or sent more than once.
    """
    sent = [name for name, _ in request.query_params.multi_items()]
    if not sent:
        return
    known = _known(request.scope["route"])
    for name in sent:
        if name not in known:
            raise UsageError(
                f"{name[:80]!r} in the query of the request is unknown",
                expected=", ".join(known) or "no parameters",
                hint=did_you_mean(name[:80], known),
            )
        if sent.count(name) > 1:
            raise UsageError(f"{name!r} in the query of the request is repeated", expected="it at most once")


def _known(route: APIRoute) -> list[str]:
    """The parameters that a route takes: those that it declares, and those that only its description has."""
    described = (route.openapi_extra or {}).get("parameters", ())
    return [*(one["name"] for one in described), *(one.alias for one in route.dependant.query_params)]
