"""A recipe: every choice of a training run, as flat TOML.

In: a bundled name or a TOML file, and `key=value` changes. Out: a frozen `Recipe`. Each field is a knob with its unit
in its name or its comment; a new option anywhere in training is a new field here. No torch in this file.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.runs import RECIPE, looking_up

Counts = int | tuple[int, ...]  # one number for every block, or one a block
Pooling = Literal["max", "average", "stride", "none"]
Padding = Literal["same", "valid"]
PER_BLOCK = ("kernel", "convs_per_block", "pooling", "padding", "dropout")  # fields given once, or once a block
HELD_OUT_BY = ("protocol", "validation", "validation_split", "test_fraction", "seed")  # fields that say who is held out
# Fields in which a recipe and its twin that holds pictures out may differ: these, and what one takes from the other.
OF_THE_TWIN = {*HELD_OUT_BY, "name", "about", "data", "teacher", "temperature", "accept_score", "calibrated_on"}
FOLDER = Path(__file__).parent / "recipes"


class Recipe(BaseModel):
    """Every choice of one training run; see each field's comment for its unit and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: str = "custom"
    about: str = ""  # one sentence, shown by `inkdigit recipes`

    # Data
    data: str = "mnist"  # what is trained on when the command names no --data
    prepare: Literal["auto", "ink", "plain"] = "auto"  # the kind of door; auto: the one that suits the source
    protocol: Literal["final", "select"] = (
        "final"  # final: report on the test part; select: on held-out training pictures
    )
    validation: float = Field(0.0, ge=0)  # held out of training: a count from 1 up, a fraction below; select needs some
    validation_split: Literal["auto", "stratified"] = "auto"  # auto: by whole writers where known; else by class
    test_fraction: float = Field(0.2, ge=0, lt=1)  # of a source that has no test part, kept aside as one
    stressed: float = Field(0.0, ge=0)  # copies of each training picture as photographed, scanned, pencilled ink
    drawn: int = Field(0, ge=0)  # digits drawn by strokes and printed in fonts, added to the training pictures
    outliers: int = Field(0, ge=0)  # pictures of no digit, or of several; with any, the network learns to refuse
    normalize: Literal["unit", "standard"] = (
        "unit"  # pixels to [0, 1]; standard: then by mean and deviation in training
    )
    moments: bool = False  # ink centred, slant undone, width made the same, inside the network (Casey 1970)

    # Network: blocks of convolutions, each ending in pooling; then dense layers; then one output a class
    block: Literal["plain", "residual"] = "plain"  # residual: two convolutions and a way around them (He et al. 2015)
    filters: tuple[int, ...] = (32, 64)  # of each block
    kernel: Counts = 3  # pixels
    convs_per_block: Counts = 1
    pooling: Pooling | tuple[Pooling, ...] = "max"  # halves the side; stride: the block's last convolution does
    pool_first: bool = False  # pooling before batch norm and activation: a quarter of their work
    padding: Padding | tuple[Padding, ...] = "same"
    batch_norm: bool = True
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    initializer: Literal["he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "orthogonal"] = "he_normal"
    whiten: bool = False  # the first convolution begins as one that whitens its patches (Jordan 2024)
    dropout: float | tuple[float, ...] = 0.0  # after each block: one share for all, or one a block
    head: Literal["flatten", "global_average", "global_max"] = "flatten"
    dense: tuple[int, ...] = ()  # units of the dense layers before the output
    dense_dropout: float = Field(0.0, ge=0, lt=1)  # after each of them, and before the output

    # Loss
    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy"] = "sparse_categorical_crossentropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    teacher: str | None = None  # a model whose answers are learnt beside the labels (Hinton, Vinyals, Dean 2015)
    teacher_weight: float = Field(0.5, ge=0, le=1)  # of its answers in the loss; the labels have the rest

    # Optimizer and schedule
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "adadelta", "muon"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)  # the peak of a one-cycle, else the start
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd, muon (both Nesterov) and rmsprop
    betas: tuple[float, float] = (0.9, 0.999)  # of adam and adamw
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["constant", "plateau", "one-cycle", "cosine", "exponential"] = "constant"
    warmup_fraction: float = Field(0.2, ge=0, le=1)  # of all steps, rising (one-cycle)
    decay_per_epoch: float = Field(0.95, gt=0, le=1)  # exponential: the rate is multiplied by this every epoch
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience_epochs: int = Field(3, ge=0)
    min_learning_rate: float = Field(1e-6, ge=0)  # plateau stops there
    monitor: Literal["validation_loss", "validation_accuracy"] = "validation_loss"  # plateau, early stopping, best
    early_stopping_patience_epochs: int = Field(0, ge=0)  # 0: never
    keep: Literal["last", "best"] = "last"  # which weights: the last, or those of the best epoch by `monitor`
    ema_decay: float = Field(0.0, ge=0, lt=1)  # a step; 0: no moving average of the weights

    # Length
    batch: int = Field(128, ge=1)
    epochs: int = Field(10, ge=1)
    min_steps: int = Field(0, ge=0)  # more epochs where the set is so small that it would be left half-trained
    seed: int = Field(0, ge=0, lt=2**31)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the processor has it

    # Augmentation: each range is drawn from uniformly, on both sides of no change
    rotate_deg: float = Field(0.0, ge=0, le=180)
    shift_px: float = Field(0.0, ge=0, le=14)
    shift_inside: bool = False  # a shift ends at the margin, so that by itself it cuts no ink (Byerly et al. 2020)
    zoom: float = Field(0.0, ge=0, lt=1)  # 0.1: 10 % smaller to 10 % larger
    squish: float = Field(0.0, ge=0, lt=1)  # the same for the width alone
    shear: float = Field(0.0, ge=0, le=1)  # pixels sideways a pixel of height: a slant
    elastic_px: float = Field(0.0, ge=0, le=14)  # displacement of a smooth random field (Simard 2003)
    elastic_sigma_px: float = Field(4.0, gt=0)  # how smooth
    thickness: float = Field(0.0, ge=0, le=1)  # strokes thinner to thicker: 1 is a pixel less or more on each side
    erase_px: int = Field(0, ge=0, le=28)  # side of one square set to paper

    # Calibration that a `final` run takes over from its `select` twin, and the data it was fitted on
    temperature: float | None = Field(None, gt=0)
    accept_score: float | None = None
    calibrated_on: str | None = None  # SHA-256 of the training part

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        blocks = len(self.filters)
        for field in PER_BLOCK:
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != blocks:
                raise ValueError(f"{field} has {len(value)} entries for {blocks} blocks of filters")
        if any(
            n < 1 for n in (*self.filters, *self.dense, *self.per_block("kernel"), *self.per_block("convs_per_block"))
        ):
            raise ValueError("filters, kernel, convs_per_block and dense must be at least 1")
        if not all(0 <= share < 1 for share in self.per_block("dropout")):
            raise ValueError("dropout must be from 0 to below 1")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas must be from 0 to below 1")
        padding = self.per_block("padding")
        if any(pad == "same" and n % 2 == 0 for pad, n in zip(padding, self.per_block("kernel"), strict=True)):
            raise ValueError("padding = 'same' needs odd kernels")
        pairs = bool(self.filters) and not any(n % 2 for n in self.per_block("convs_per_block"))
        if self.block == "residual" and ("valid" in padding or not pairs):
            raise ValueError("block = 'residual' needs filters, padding = 'same' and an even convs_per_block")
        if self.block == "residual" and self.pool_first:
            raise ValueError("pool_first needs block = 'plain'")
        if self.whiten and (not self.filters or self.per_block("kernel")[0] < 2):
            raise ValueError("whiten needs a convolution with a kernel of 2 or more")
        if self.outliers and self.teacher is not None:
            raise ValueError("a teacher knows nothing of outliers: leave one of the two out")
        if self.needs_validation and self.protocol == "final" and not self.validation:
            raise ValueError("plateau, early stopping and keep = 'best' need validation > 0")
        return self

    @property
    def needs_validation(self) -> bool:
        """Whether training decides anything by looking at the validation part."""
        return self.schedule == "plateau" or self.early_stopping_patience_epochs > 0 or self.keep == "best"

    @property
    def holds_out(self) -> bool:
        """Whether some training pictures are kept from training."""
        return self.protocol == "select" or self.validation > 0

    def is_twin_of(self, other: Recipe) -> bool:
        """Whether both train the same network in the same way, whatever either holds out."""
        same = self.model_dump(exclude=OF_THE_TWIN) == other.model_dump(exclude=OF_THE_TWIN)
        return same and (self.teacher is None) == (other.teacher is None)

    def per_block(self, field: str) -> tuple[Any, ...]:
        """A field that may be given once, as one value a block."""
        value = getattr(self, field)
        return value if isinstance(value, tuple) else (value,) * len(self.filters)

    @classmethod
    def load(cls, recipe: str | Path, changes: Mapping[str, Any] | None = None) -> Recipe:
        """Read a bundled recipe by name, or a TOML file by path, with `changes` on top.

        Raises:
            UsageError: no such recipe, an unknown key, a value of another type or outside its range.
        """
        path = find(str(recipe))
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
            raise UsageError(f"{path} is no TOML file: {exc}") from exc
        except OSError as exc:
            raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
        return cls.from_fields({"name": path.stem, **fields, **(changes or {})}, where=str(recipe))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
        """Check `fields` and make a recipe of them; lists stand for tuples, as TOML has it."""
        unknown = [key for key in fields if key not in cls.model_fields]
        if unknown:
            hint = did_you_mean(unknown[0], cls.model_fields) or "See all fields in docs/recipes.md."
            raise UsageError(f"{where}: unknown recipe key {unknown[0]!r}", hint=hint)
        try:
            return cls.model_validate({key: _tuples(value) for key, value in fields.items()})
        except ValidationError as exc:
            first = exc.errors()[0]
            message = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:  # fields that do not go together
                raise UsageError(f"{where}: {message}") from exc
            raise UsageError(f"{where}: {first['loc'][0]}: {message}", received=repr(first["input"])) from exc

    def change(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with some fields changed, checked again."""
        return self.from_fields({**self.model_dump(), **changes}, where=self.name)

    def to_toml(self) -> str:
        """Every field as TOML, one a line; a field that is None is left out.

        Text, numbers, truth values and lists are written in TOML as they are in JSON.
        """
        fields = ((key, value) for key, value in self.model_dump().items() if value is not None)
        return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields)

    @property
    def sha256(self) -> str:
        """The identity of the recipe without its seed: a field that is added later, at its default, changes nothing.

        Of a teacher it holds that there is one: which one, the card says by its file's SHA-256.
        """
        fields = self.model_dump(exclude={"seed", "about"}, exclude_defaults=True, mode="json")
        if self.teacher is not None:
            fields["teacher"] = True
        return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def bundled() -> dict[str, Path]:
    """The recipes that ship with the package: name → TOML file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def find(recipe: str) -> Path:
    """The TOML file that a name or path means.

    Raises:
        UsageError: neither a bundled name nor a file.
    """
    known = bundled()
    if recipe in known:
        return known[recipe]
    path = Path(recipe)
    with looking_up(recipe):
        if path.is_dir():
            path = path / RECIPE  # a run directory
        if path.suffix == ".toml" and path.is_file():
            return path
    raise UsageError(
        f"There is no recipe {recipe!r}",
        expected=f"one of {', '.join(known)}, or the path of a TOML file",
        hint=did_you_mean(recipe, known),
    )


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` as TOML does; a value that is no TOML is taken as text.

    Raises:
        UsageError: an assignment without `=`.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {assignment!r} changes nothing", expected="key=value, as in epochs=3")
        try:
            changes[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text.strip()
    return changes
