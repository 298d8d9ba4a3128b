"""A recipe: every choice of a training run, as flat TOML.

In: a bundled name or a TOML file, and `key=value` changes. Out: a frozen `Recipe`. Each field is a knob with its unit
in its name or its comment; a new option anywhere in training is a new field here. No torch in this file.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inkdigit.errors import UsageError, did_you_mean
from inkdigit.files import looking_up
from inkdigit.parsing import check_plain, parse_toml, read_text
from inkdigit.runs import RECIPE
from inkdigit.training.network.size import (
    MOST_IN_A_LAYER,
    MOST_PARAMETERS,
    MOST_TO_DRAW,
    MOST_VALUES,
    Block,
    Size,
    measure,
)
from inkdigit.types import DIGITS, OUTLIERS, SIDE

# Every number has an upper bound, far above what anybody trains: beyond it a slip would take all memory, or not end.
Width = Annotated[int, Field(ge=1, le=4096)]  # of a block; the widest layers of VGG
Kernel = Annotated[int, Field(ge=1, le=55)]  # pixels; from one corner of a picture such a one sees all of it
Convs = Annotated[int, Field(ge=1, le=64)]  # ResNet-110 has 36
Units = Annotated[int, Field(ge=1, le=65_536)]  # a picture at its full size through 83 filters
Share = Annotated[float, Field(ge=0, lt=1)]
BLOCKS, DENSE = 16, 16  # layers of their kind; a picture can be halved four times
PATH = 4096  # characters: Linux opens no longer one
Pooling = Literal["max", "average", "stride", "none"]
Padding = Literal["same", "valid"]
PER_BLOCK = ("kernel", "convs_per_block", "pooling", "padding", "dropout")  # fields given once, or once a block
HELD_OUT_BY = ("protocol", "validation", "validation_split", "test_fraction", "seed")  # fields that say who is held out
# Fields in which a recipe and its twin that holds pictures out may differ: these, and what one takes from the other.
OF_THE_TWIN = {*HELD_OUT_BY, "name", "about", "data", "teacher", "temperature", "accept_score", "calibrated_on"}
FOLDER = Path(__file__).parent / "recipes"
# Of `--seeds`: a thousand runs of half a minute take a night; a seed is below two thousand million, so ten digits.
MAX_SEEDS, SEED_DIGITS = 1_000, 10


class Recipe(BaseModel):
    """Every choice of one training run; see each field's comment for its unit and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: str = Field("custom", max_length=100)  # printable characters; run directories are called so
    about: str = Field("", max_length=1000)  # one sentence, shown by `inkdigit recipes`

    # Data
    data: str = Field("mnist", max_length=PATH)  # what is trained on when the command names no --data
    prepare: Literal["auto", "ink", "plain"] = "auto"  # the kind of door; auto: the one that suits the source
    protocol: Literal["final", "select"] = (
        "final"  # final: report on the test part; select: on held-out training pictures
    )
    # Held out of training: a count from 1 up, a fraction below; select needs some. No set here has 10 million.
    validation: float = Field(0.0, ge=0, le=10_000_000)
    validation_split: Literal["auto", "stratified"] = "auto"  # auto: by whole writers where known; else by class
    test_fraction: float = Field(0.2, ge=0, lt=1)  # of a source that has no test part, kept aside as one
    # Pictures made for the training: at the upper bounds each kind takes a gigabyte, and a day on two cores.
    stressed: float = Field(0.0, ge=0, le=20)  # copies of each picture as photographed, scanned, pencilled ink
    drawn: int = Field(0, ge=0, le=1_000_000)  # digits drawn by strokes and printed in fonts
    outliers: int = Field(0, ge=0, le=1_000_000)  # of no digit, or of several; with any, the network learns to refuse
    normalize: Literal["unit", "standard"] = (
        "unit"  # pixels to [0, 1]; standard: then by mean and deviation in training
    )
    moments: bool = False  # ink centred, slant undone, width made the same, inside the network (Casey 1970)

    # Network: blocks of convolutions, each ending in pooling; then dense layers; then one output a class
    block: Literal["plain", "residual"] = "plain"  # residual: two convolutions and a way around them (He et al. 2015)
    filters: tuple[Width, ...] = Field((32, 64), max_length=BLOCKS)  # of each block
    kernel: Kernel | tuple[Kernel, ...] = 3  # pixels
    convs_per_block: Convs | tuple[Convs, ...] = 1
    pooling: Pooling | tuple[Pooling, ...] = "max"  # halves the side; stride: the block's last convolution does
    pool_first: bool = False  # pooling before batch norm and activation: a quarter of their work
    padding: Padding | tuple[Padding, ...] = "same"
    batch_norm: bool = True
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    initializer: Literal["he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "orthogonal"] = "he_normal"
    whiten: bool = False  # the first convolution begins as one that whitens its patches (Jordan 2024)
    dropout: Share | tuple[Share, ...] = 0.0  # after each block: one share for all, or one a block
    head: Literal["flatten", "global_average", "global_max"] = "flatten"
    dense: tuple[Units, ...] = Field((), max_length=DENSE)  # units of the dense layers before the output
    dense_dropout: float = Field(0.0, ge=0, lt=1)  # after each of them, and before the output

    # Loss
    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy"] = "sparse_categorical_crossentropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # A model whose answers are learnt beside the labels (Hinton, Vinyals, Dean 2015).
    teacher: str | None = Field(None, max_length=PATH)
    teacher_weight: float = Field(0.5, ge=0, le=1)  # of its answers in the loss; the labels have the rest

    # Optimizer and schedule
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "adadelta", "muon"] = "adam"
    learning_rate: float = Field(1e-3, gt=0, le=1e6)  # the peak of a one-cycle, else the start; far less diverges
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd, muon (both Nesterov) and rmsprop
    betas: tuple[Share, Share] = (0.9, 0.999)  # of adam and adamw
    weight_decay: float = Field(0.0, ge=0, le=100)  # 1 / learning_rate and more leave nothing of the weights
    schedule: Literal["constant", "plateau", "one-cycle", "cosine", "exponential"] = "constant"
    warmup_fraction: float = Field(0.2, ge=0, le=1)  # of all steps, rising (one-cycle)
    decay_per_epoch: float = Field(0.95, gt=0, le=1)  # exponential: the rate is multiplied by this every epoch
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience_epochs: int = Field(3, ge=0, le=100_000)  # as many as there can be
    min_learning_rate: float = Field(1e-6, ge=0, le=1e6)  # plateau stops there
    monitor: Literal["validation_loss", "validation_accuracy"] = "validation_loss"  # plateau, early stopping, best
    early_stopping_patience_epochs: int = Field(0, ge=0, le=100_000)  # 0: never
    keep: Literal["last", "best"] = "last"  # which weights: the last, or those of the best epoch by `monitor`
    ema_decay: float = Field(0.0, ge=0, lt=1)  # a step; 0: no moving average of the weights

    # Length
    batch: int = Field(128, ge=1, le=65_536)  # all of MNIST at once
    epochs: int = Field(10, ge=1, le=100_000)  # days, of the smallest sets
    # More epochs where the set is so small that it would be left half-trained; a million steps take hours.
    min_steps: int = Field(0, ge=0, le=1_000_000)
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
    elastic_sigma_px: float = Field(4.0, ge=0.1, le=100)  # how smooth: from no pixel like the next to one shift of all
    thickness: float = Field(0.0, ge=0, le=1)  # strokes thinner to thicker: 1 is a pixel less or more on each side
    erase_px: int = Field(0, ge=0, le=28)  # side of one square set to paper

    # Calibration that a `final` run takes over from its `select` twin, and the data it was fitted on
    temperature: float | None = Field(None, ge=0.001, le=1000)  # fitted ones lie from 0.05 to 20
    accept_score: float | None = Field(None, ge=-1e6, le=1e6)  # of logits, which are tens
    calibrated_on: str | None = Field(None, max_length=64)  # SHA-256 of the training part

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        blocks = len(self.filters)
        for field in PER_BLOCK:
            value = getattr(self, field)
            if isinstance(value, tuple) and len(value) != blocks:
                raise ValueError(f"{field} has {len(value)} entries for {blocks} blocks of filters")
        padding = self.per_block("padding")
        if any(pad == "same" and n % 2 == 0 for pad, n in zip(padding, self.per_block("kernel"), strict=True)):
            raise ValueError("padding = 'same' needs odd kernels")
        pairs = bool(self.filters) and not any(n % 2 for n in self.per_block("convs_per_block"))
        if self.block == "residual" and ("valid" in padding or not pairs):
            raise ValueError("block = 'residual' needs filters, padding = 'same' and an even convs_per_block")
        if self.block == "residual" and self.pool_first:
            raise ValueError("pool_first needs block = 'plain'")
        if self.whiten and (not self.filters or not 2 <= self.per_block("kernel")[0] <= SIDE):
            raise ValueError(f"whiten needs a convolution with a kernel of 2 to {SIDE}")
        if self.outliers and self.teacher is not None:
            raise ValueError("a teacher knows nothing of outliers: leave one of the two out")
        if self.needs_validation and self.protocol == "final" and not self.validation:
            raise ValueError("plateau, early stopping and keep = 'best' need validation > 0")
        if not self.name.isprintable():
            raise ValueError("name has characters that cannot be printed")
        if problem := self.too_large():
            raise ValueError(problem)
        return self

    def too_large(self, classes: int = len(DIGITS)) -> str | None:
        """Why no machine would train the network that this describes, with the keys to change; None where one would."""
        net, shape = self.size(classes), "filters, kernel, convs_per_block, pooling, padding, dense"
        for keys, what, number, most in (
            (shape, "parameters", net.parameters, MOST_PARAMETERS),
            (shape, "values in one layer", net.largest, MOST_IN_A_LAYER),
            (f"batch, {shape}", "values in a batch", net.kept * self.batch, MOST_VALUES),
        ):
            if number > most:
                return f"{keys}: they make a network of {number:,} {what}; {most:,} at most"
        if self.initializer == "orthogonal" and net.to_draw > MOST_TO_DRAW:
            return f"initializer = 'orthogonal' takes minutes for layers so large ({shape})"
        return None

    def size(self, classes: int = len(DIGITS)) -> Size:
        """How large the network is that this describes."""
        columns = (self.per_block(field) for field in ("kernel", "convs_per_block", "pooling", "padding"))
        return measure(
            [Block(*row) for row in zip(self.filters, *columns, strict=True)],
            self.dense,
            outputs=classes + (len(OUTLIERS) if self.outliers else 0),
            residual=self.block == "residual",
            flatten=self.head == "flatten",
            batch_norm=self.batch_norm,
        )

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
            fields = parse_toml(read_text(path))
        except OSError as exc:
            raise UsageError(f"{path} cannot be read: {exc.strerror}") from exc
        except ValueError as exc:
            raise UsageError(f"{path} is not a TOML file: {exc}") from exc
        return cls.from_fields({"name": path.stem, **fields, **(changes or {})}, where=str(recipe))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
        """Check `fields` and make a recipe of them; lists stand for tuples, as TOML has it.

        Raises:
            UsageError: an unknown key, a value of another type or outside its range, fields that do not go together.
        """
        for key, value in fields.items():
            if key not in cls.model_fields:
                hint = did_you_mean(key[:40], cls.model_fields) or "See all fields in docs/recipes.md."
                raise UsageError(f"{where}: unknown recipe key {shorten(key)}", hint=hint)
            try:
                check_plain(value)
            except ValueError as exc:
                raise UsageError(f"{where}: {key}: {exc}") from exc
        try:
            return cls.model_validate({key: _tuples(value) for key, value in fields.items()})
        except ValidationError as exc:
            first, *_ = errors = exc.errors()
            message = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:  # fields that do not go together
                raise UsageError(f"{where}: {message}") from exc
            name = first["loc"][0]
            # Of a field that may be a list, the error deepest inside it tells most.
            worst = max((one for one in errors if one["loc"][0] == name), key=lambda one: len(one["loc"]))
            raise UsageError(f"{where}: {name}: {worst['msg']}", received=shorten(worst["input"])) from exc

    def change(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with some fields changed, checked again."""
        return self.from_fields({**self.model_dump(), **changes}, where=self.name)

    def to_toml(self) -> str:
        """Every field as TOML, one a line; a field that is None is left out.

        Text, numbers, truth values and lists are written in TOML as they are in JSON, but for one character.
        """
        fields = ((key, value) for key, value in self.model_dump().items() if value is not None)
        text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields)
        return text.replace("\x7f", "\\u007f")

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
    """Read `key=value` as TOML does; a value that is not TOML is taken as text.

    Raises:
        UsageError: an assignment without `=`, or a value that is too long, too deep, or a number of too many digits.
    """
    changes: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set {shorten(assignment)} changes nothing", expected="key=value, as in epochs=3")
        try:
            table = parse_toml(f"value = {text}")
            changes[key.strip()] = table["value"] if len(table) == 1 else text.strip()
        except tomllib.TOMLDecodeError:
            changes[key.strip()] = text.strip()
        except ValueError as exc:
            raise UsageError(f"--set {shorten(key.strip())}: {exc}", received=shorten(text.strip())) from exc
    return changes


def parse_seeds(text: str) -> list[int]:
    """Read the random seeds of "0-4", "0,2,5" or "7".

    Raises:
        UsageError: anything else, or more than a thousand.
    """
    seeds: list[int] = []
    for piece in text.split(","):
        low, dash, high = (word.strip() for word in piece.partition("-"))
        numbers = all(word.isdecimal() and len(word) <= SEED_DIGITS for word in ((low, high) if dash else (low,)))
        if not numbers or int(high or low) < int(low):
            raise UsageError(f"--seeds {text[:80]!r} names no seeds", expected="numbers from 0 up, as in 0-4 or 0,2,5")
        if int(high or low) - int(low) + len(seeds) >= MAX_SEEDS:
            raise UsageError("So many seeds are a slip", expected=f"{MAX_SEEDS:,} at most", received=text[:80])
        seeds += range(int(low), int(high or low) + 1)
    return seeds


def shorten(value: Any) -> str:
    """A value as an error shows it: a few hundred characters at most, however large or deep it is."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 120
    short.maxlong = 40
    short.maxlist = short.maxtuple = 12
    try:
        return short.repr(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        return "a number of too many digits"
