"""From a template of this folder to a page that stands alone: everything from outside escaped, pictures inside it.

In: the name of a template and what it shows. Out: HTML as text, in the look of `style.css.j2`. The filters say numbers
as people do.
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
from inkdigit.report.canvas import DARK, LIGHT
from inkdigit.report.numbers import byte_count, duration, number, percent, signed
from inkdigit.types import Gray

NO_JINJA = "Writing a page needs Jinja"


def render(template: str, values: Mapping[str, Any]) -> str:
    """The page that `template` makes of `values`; it also knows the colours of both themes, `light` and `dark`.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as exc:
        raise MissingExtra(NO_JINJA, "train") from exc
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
    return environment.get_template(template).render({**values, "light": LIGHT, "dark": DARK})


def require_jinja() -> None:
    """Fail before the work where writing a page would fail after it.

    Raises:
        MissingExtra: Jinja is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise MissingExtra(NO_JINJA, "train")


def _read(template: str) -> str:
    return resources.files("inkdigit.report").joinpath(template).read_text(encoding="utf-8")


def pictures(figures: Mapping[str, Mapping[str, bytes]]) -> dict[str, Any]:
    """Figures (theme → name → PNG, the same in both themes) as templates take them: their sources, and their sizes."""
    return {
        "pictures": {theme: {name: data_uri(png) for name, png in drawn.items()} for theme, drawn in figures.items()},
        "sizes": {name: size(png) for name, png in figures[LIGHT.name].items()},
    }


def picture_uri(picture: Gray) -> str:
    """A small picture (H, W) as it is, as the source of an `img`: a few hundred bytes, which the page scales up."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())


def data_uri(png: bytes) -> str:
    """A picture as the source of an `img`."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header of a PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height
