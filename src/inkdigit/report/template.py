"""From a template in this folder to a page that needs no other file: values are escaped, images are inside it.

In: the name of a template and the values that it shows. Out: HTML as text, with the styles of `style.css.j2`. The
filters write numbers as `numbers` does.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import struct
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np
from PIL import Image

from inkdigit.errors import MissingExtra
from inkdigit.report.canvas import DARK, LIGHT, dark_colours
from inkdigit.report.numbers import byte_count, duration, number, percent, signed
from inkdigit.types import Gray

NO_JINJA = "Writing a page needs Jinja"


def render(template: str, values: Mapping[str, Any]) -> str:
    """The page that `template` makes from `values` and the colours of both themes, `light` and `dark`.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as exc:
        raise MissingExtra(NO_JINJA, "report") from exc
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "bytes": byte_count,
        "duration": duration,
        "figure": number,
        "signed": signed,
    }
    return environment.get_template(template).render(
        {**values, "light": LIGHT, "dark": DARK, "dark_colours": dark_colours()}
    )


def require_jinja() -> None:
    """Fail before the work if writing a page would fail after it.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtra(NO_JINJA, "report")


def _read(template: str) -> str:
    return resources.files("inkdigit.report").joinpath(template).read_text(encoding="utf-8")


def pictures(figures: Mapping[str, bytes], dark: Mapping[str, bytes] | None = None) -> dict[str, Any]:
    """Figures (name → PNG) in the light theme for a template: their sources and their sizes.

    The page shows them in the colours of its theme. Those that hold images must not be recoloured: `dark` has them once
    more, drawn in the dark theme.
    """
    return {
        "pictures": {name: data_uri(png) for name, png in figures.items()},
        "dark_pictures": {name: data_uri(png) for name, png in (dark or {}).items()},
        "sizes": {name: size(png) for name, png in figures.items()},
    }


def image_uri(image: Gray) -> str:
    """A small image (H, W) at its own size, as the source of an `img`: some hundred bytes, which the page scales up."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())


def data_uri(png: bytes) -> str:
    """PNG bytes as the source of an `img`."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height
