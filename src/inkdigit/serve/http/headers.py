"""The headers of every response: what a browser must not do with it, and which sites may read it.

In: the origin of a page. Out: header lines in the form of ASGI.
"""

from __future__ import annotations

Headers = list[tuple[bytes, bytes]]

ONLY_OURS = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
COMMON: Headers = [
    (b"content-security-policy", ONLY_OURS.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
OWN_SITE: Headers = [*COMMON, (b"cross-origin-resource-policy", b"same-origin")]
EXPOSED = b"X-Request-ID, Retry-After, Inference-Header-Content-Length"
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-ID, Inference-Header-Content-Length"),
    (b"access-control-max-age", b"600"),
]


def common(origin: bytes | None, allowed: frozenset[bytes]) -> Headers:
    """The headers of every response to a page of `origin`."""
    if not allowed:
        return OWN_SITE
    if origin not in allowed or origin is None:
        return [*OWN_SITE, (b"vary", b"Origin")]
    return [
        *COMMON,
        (b"vary", b"Origin"),
        (b"access-control-allow-origin", origin),
        (b"access-control-expose-headers", EXPOSED),
    ]
