"""What the JSON of a card must look like before anything is read from it.

In: a parsed card. Out: nothing, or one error that names the first place which is wrong. The schema is
given to pydantic's core directly: pydantic itself would add 0.06 s to every start.

Keys that are not listed are ignored (those of later releases, for example); `figures` and `provenance` may hold more
than what is read from them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from inkdigit.types import MAX_CLASSES, MIN_CLASSES

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

MAX_NAME = 200  # characters of a name, of a class, of a kind of outlier
MAX_WORDS = 10_000  # characters of any other text
MAX_RECIPE = 2**16  # characters: what `parse_toml` reads
MAX_OUTLIERS = 64  # kinds
MAX_MEMBERS = 256  # of an ensemble; steps of adapting
MAX_SELF_TEST = 256  # images, or steps of lines; ours have ten, or a hundred
MAX_SIDE = 4096  # of the images of a self test
DIGIT, LINE = "digit", "line"  # the tasks of a model


def check(card: object) -> None:
    """Check the JSON of a card: types are strict, and numbers finite.

    Raises:
        ValueError: a value is wrong; the message names the first such place.
    """
    validator = _validator()
    from pydantic_core import ValidationError

    try:
        validator.validate_python(card, strict=True)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"{place[:MAX_NAME]}: {first['msg']}") from exc


@cache
def _validator() -> SchemaValidator:
    from pydantic_core import SchemaValidator

    return SchemaValidator(_card())


def _card() -> Any:
    from pydantic_core import core_schema as s

    number = s.float_schema(allow_inf_nan=False)
    share, count = s.float_schema(ge=0, le=1, allow_inf_nan=False), s.int_schema(ge=0)
    name, words = s.str_schema(max_length=MAX_NAME), s.str_schema(max_length=MAX_WORDS)
    probs = s.list_schema(share, min_length=MIN_CLASSES, max_length=MAX_CLASSES)
    ink = _table({"version": count, "sha256": name})  # older files have no such key
    prepare = _table({"kind": name, "version": count, "ink": ink}, optional=("ink",))
    self_test = {
        "images": s.str_schema(max_length=2 * 28 * 28 * MAX_SELF_TEST),
        "probs": s.list_schema(probs, min_length=1, max_length=MAX_SELF_TEST),
        "shape": s.list_schema(s.int_schema(ge=1, le=MAX_SIDE), min_length=3, max_length=4),  # only of line readers
    }
    calibration = {
        "temperature": number,
        "accept_score": s.nullable_schema(number),
        "keeps": s.nullable_schema(number),
        "fitted_on": words,
        "min_confidence": number,
    }
    figures = {
        "data": words,
        "part": name,
        "n": count,
        "accuracy": share,
        "accuracy_ci95": s.list_schema(share, min_length=2, max_length=2),
    }
    seeds = {"n": count, "mean": share, "sd": number}
    return _table(
        {
            "name": name,
            "classes": s.list_schema(name, min_length=MIN_CLASSES, max_length=MAX_CLASSES),
            "prepare": prepare,
            "parameters": count,
            "numbers": name,
            "calibration": _table(calibration, optional=calibration, extra="forbid"),
            "figures": s.union_schema(
                [_table({}, extra="forbid"), _table({**figures, "seeds": _table(seeds)}, optional=("seeds",))]
            ),
            "provenance": _provenance(),
            "self_test": _table(self_test, optional=("shape",)),
            "task": s.literal_schema([DIGIT, LINE]),  # older files have no such key: they are for digits
            "outliers": s.list_schema(name, max_length=MAX_OUTLIERS),  # older files have no such key
        },
        optional=("outliers", "task"),
    )


def _provenance() -> Any:
    """Where a model comes from: each kind of file states some of it."""
    from pydantic_core import core_schema as s

    text, count = s.str_schema(max_length=MAX_WORDS), s.int_schema(ge=0)
    recipe = s.str_schema(max_length=MAX_RECIPE)
    data = _all_optional(
        {
            "name": text,
            "sha256": text,
            "train": count,
            "test": s.nullable_schema(count),
            "licence": s.nullable_schema(text),
            "trained": count,
        }
    )
    file = {"file": text, "sha256": text}
    step = {
        "data": _table({"name": text, "sha256": text}, optional=("sha256",)),
        "pictures": s.dict_schema(text, count),
        "replay": _table({"name": text, "sha256": text}, optional=("sha256",)),
        "augmentation": s.dict_schema(text),
    }
    adapted = s.list_schema(_table(step, optional=("augmentation", "replay")), max_length=MAX_MEMBERS)
    member = {
        **file,
        "name": text,
        "recipe": recipe,
        "seed": count,
        "temperature": s.float_schema(gt=0, allow_inf_nan=False),
    }
    members = _table({**member, "recipe_sha256": text, "adapted": adapted}, optional=("recipe_sha256", "adapted"))
    return _all_optional(
        {
            "recipe": recipe,
            "recipe_sha256": text,
            "seed": count,
            "created": text,
            "commit": s.nullable_schema(text),
            "libraries": s.dict_schema(text, s.nullable_schema(text)),
            "data": s.nullable_schema(data),
            "saw_mnist": s.bool_schema(),
            "drawn": text,
            "teacher": _table({**file, "data": s.nullable_schema(data)}, optional=("data",)),
            "made_from": s.list_schema(_table(file), max_length=MAX_MEMBERS),
            "members": s.list_schema(members, min_length=1, max_length=MAX_MEMBERS),
            "views": count,
            "adapted": adapted,
        }
    )


def _table(fields: dict[str, Any], *, optional: Any = (), extra: Any = "allow") -> Any:
    """A JSON object with these fields."""
    from pydantic_core import core_schema as s

    checked = {key: s.typed_dict_field(field, required=key not in optional) for key, field in fields.items()}
    return s.typed_dict_schema(checked, extra_behavior=extra)


def _all_optional(fields: dict[str, Any]) -> Any:
    return _table(fields, optional=fields)
