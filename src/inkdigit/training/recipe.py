"""A recipe: every choice of a training run, as flat TOML.

In: a bundled name or a TOML file, and `key=value` changes. Out: a frozen `Recipe`. Each field has its unit in its name
or its comment; a new option anywhere in training is a new field here. This file does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from inkdigit.errors import UsageError, did_you_mean, reason_of
from inkdigit.files import looking_up
from inkdigit.parsing import check_plain, parse_toml, read_text, shorten
from inkdigit.runs import RECIPE
from inkdigit.training.network import layers
from inkdigit.training.network.layers import Layer
from inkdigit.training.network.size import Block, Size, measure
from inkdigit.types import DIGITS, OUTLIERS, SIDE

# Every number has an upper limit, far above real recipes: beyond it a typing error would take all memory, or never end.
Width = Annotated[int, Field(ge=1, le=4096)]  # filters of a block; the widest layers of VGG have as many
Kernel = Annotated[int, Field(ge=1, le=55)]  # pixels; 55 cover the image from any corner
Convs = Annotated[int, Field(ge=1, le=64)]  # ResNet-110 has 36
Units = Annotated[int, Field(ge=1, le=65_536)]  # as many values as 83 filters at the full size of an image
Share = Annotated[float, Field(ge=0, lt=1)]
MAX_BLOCKS = 16  # of convolutions; an image can be halved four times
MAX_DENSE = 16  # dense layers
MAX_LAYERS = 256  # that are listed one by one
MAX_PATH = 4096  # characters: Linux opens no longer path
Pooling = Literal["max", "average", "stride", "none"]
Padding = Literal["same", "valid"]
PER_BLOCK = ("kernel", "convs_per_block", "pooling", "padding", "dropout")  # one value for all blocks, or one each
# Which images are held out
HELD_OUT_BY = ("protocol", "validation", "validation_split", "test_fraction", "calibrated_on", "seed")
# A twin is the same recipe that holds images out. They may differ in these fields: the split, the names, and the
# calibration that one takes from the other.
CALIBRATION = ("temperature", "accept_score", "calibrated_on")
OF_THE_TWIN = {*HELD_OUT_BY, *CALIBRATION, "name", "about", "data", "teacher", "net_source", "augment_source"}
# What may change while a calibration stays true: all else makes another network, or asks for images that are held out.
KEEP_CALIBRATION = {*CALIBRATION, "seed", "test_fraction", "name", "about", "data", "net_source", "augment_source"}
# What describes a network by blocks, and in any way: another description takes the place of all of these.
BLOCK_FIELDS = (
    "block",
    "filters",
    "kernel",
    "convs_per_block",
    "pooling",
    "pool_first",
    "padding",
    "whiten",
    "dropout",
    "head",
    "dense",
    "dense_dropout",
)
NET_FIELDS = (*BLOCK_FIELDS, "layers", "batch_norm", "activation", "initializer")
EXTERNAL = "external"  # the `net` of a recipe whose network is the user's own
FOLDER = Path(__file__).parent / "recipes"


class Recipe(BaseModel):
    """Every choice of one training run; see each field's comment for its unit and meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: str = Field("custom", max_length=100)  # printable characters; run directories have it in their names
    about: str = Field("", max_length=1000)  # one sentence, shown by `inkdigit recipes`

    # Data
    data: str = Field("mnist", max_length=MAX_PATH)  # the SOURCE to train on, where the command has no --data
    prepare: Literal["auto", "ink", "plain"] = "auto"  # preprocessing; auto: what suits the source
    # final: report on the test split; select: on held-out training images, without use of the test split.
    # all: nothing is held out; the report is on the training images. For a last training, after one that measured.
    protocol: Literal["final", "select", "all"] = "final"
    # Images held out of training: a number from 1 up, a fraction below 1; 0 is the protocol's default.
    # No data set here has 10 million.
    validation: float = Field(0.0, ge=0, le=10_000_000)
    validation_split: Literal["auto", "stratified"] = "auto"  # auto: whole writers where known, else by class
    test_fraction: float = Field(0.2, ge=0, lt=1)  # of a source without a test split, set aside as one
    # Images made for the training: at the upper limits each kind takes a gigabyte, and a day on two cores.
    stressed: float = Field(0.0, ge=0, le=20)  # copies of each image as if photographed, scanned, pencilled
    drawn: int = Field(0, ge=0, le=1_000_000)  # digits drawn from strokes and printed in fonts
    outliers: int = Field(0, ge=0, le=1_000_000)  # no digit, or several; with any, the network learns to reject
    # unit: pixels to [0, 1]; standard: then by mean and standard deviation of the training split.
    normalize: Literal["unit", "standard"] = "unit"
    moments: bool = False  # centre the ink, undo its slant, fix its width, inside the network (Casey 1970)

    # Network: blocks of convolutions, each ending in pooling; then dense layers; then one output per class
    block: Literal["plain", "residual"] = "plain"  # residual: two convolutions and a shortcut (He et al. 2015)
    filters: tuple[Width, ...] = Field((32, 64), max_length=MAX_BLOCKS)  # of each block
    kernel: Kernel | tuple[Kernel, ...] = 3  # pixels
    convs_per_block: Convs | tuple[Convs, ...] = 1
    pooling: Pooling | tuple[Pooling, ...] = "max"  # halves the side; stride: the last convolution of the block does
    pool_first: bool = False  # pooling before batch norm and activation, which then have a quarter of the work
    padding: Padding | tuple[Padding, ...] = "same"
    batch_norm: bool = True
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    initializer: Literal["he_uniform", "he_normal", "glorot_uniform", "glorot_normal", "orthogonal"] = "he_normal"
    whiten: bool = False  # start the first convolution as one that whitens patches (Jordan 2024)
    dropout: Share | tuple[Share, ...] = 0.0  # after each block: one share for all, or one each
    head: Literal["flatten", "global_average", "global_max"] = "flatten"
    dense: tuple[Units, ...] = Field((), max_length=MAX_DENSE)  # units of the dense layers before the output
    dense_dropout: float = Field(0.0, ge=0, lt=1)  # after each of them, and before the output
    # In place of the blocks, layers in any order: ["conv 32 3", "relu", "flatten"]; docs/own-network.md has them all.
    layers: tuple[str, ...] = Field((), max_length=MAX_LAYERS)
    net: Literal["recipe", "external"] = "recipe"  # external: your own, `net=` in Python, --net on the command line
    net_source: str | None = Field(None, max_length=200)  # as in model.py:build; training writes down which it was
    net_sha256: str | None = Field(None, max_length=64)

    # Loss
    loss: Literal["sparse_categorical_crossentropy", "categorical_crossentropy"] = "sparse_categorical_crossentropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    # A model whose predictions are learned together with the labels (Hinton, Vinyals, Dean 2015).
    teacher: str | None = Field(None, max_length=MAX_PATH)
    teacher_weight: float = Field(0.5, ge=0, le=1)  # of its predictions in the loss; the labels have the rest

    # Optimizer and schedule
    optimizer: Literal["sgd", "adam", "adamw", "rmsprop", "adadelta", "muon"] = "adam"
    learning_rate: float = Field(1e-3, gt=0, le=1e6)  # the peak of a one-cycle, else the start; less diverges
    momentum: float = Field(0.9, ge=0, lt=1)  # of sgd, muon (both Nesterov) and rmsprop
    betas: tuple[Share, Share] = (0.9, 0.999)  # of adam and adamw
    weight_decay: float = Field(0.0, ge=0, le=100)  # from 1 / learning_rate on, no weight remains
    schedule: Literal["constant", "plateau", "one-cycle", "cosine", "exponential"] = "constant"
    warmup_fraction: float = Field(0.2, ge=0, le=1)  # of all steps, in which the rate rises (one-cycle)
    decay_per_epoch: float = Field(0.95, gt=0, le=1)  # exponential: the rate is multiplied by this every epoch
    plateau_factor: float = Field(0.5, gt=0, lt=1)
    plateau_patience_epochs: int = Field(3, ge=0, le=100_000)  # epochs without a better one before the rate falls
    min_learning_rate: float = Field(1e-6, ge=0, le=1e6)  # plateau lowers the rate no further
    monitor: Literal["validation_loss", "validation_accuracy"] = "validation_loss"  # by plateau, early stopping, best
    early_stopping_patience_epochs: int = Field(0, ge=0, le=100_000)  # 0: never
    keep: Literal["last", "best"] = "last"  # the weights of the last epoch, or of the best by `monitor`
    ema_decay: float = Field(0.0, ge=0, lt=1)  # per step; 0: no moving average of the weights

    # Length
    batch: int = Field(128, ge=1, le=65_536)  # images per step; at most all of MNIST
    epochs: int = Field(10, ge=1, le=100_000)  # at most: days on the smallest sets
    # Steps, at least: a small set gets more epochs. A million steps take hours. An epoch that is cut short counts as a
    # whole one.
    min_steps: int = Field(0, ge=0, le=1_000_000)
    steps_per_epoch: int = Field(0, ge=0, le=1_000_000)  # at most: a larger set is cut short; 0: all images
    # Of an epoch that sees a part: 0.9 means that the image which a linear classifier knows best is a tenth as likely
    # to be in it as the one that it finds hardest.
    prefer_hard: Share = 0.0
    seed: int = Field(0, ge=0, lt=2**31)  # random seed of the weights, the order, the augmentation and the split
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the processor has it

    # Augmentation: each change is drawn uniformly from its range, on both sides of no change
    rotate_deg: float = Field(0.0, ge=0, le=180)
    shift_px: float = Field(0.0, ge=0, le=14)
    shift_inside: bool = False  # a shift ends at the edge, so that it cuts off no ink (Byerly et al. 2020)
    zoom: float = Field(0.0, ge=0, lt=1)  # 0.1: from 10 % smaller to 10 % larger
    squish: float = Field(0.0, ge=0, lt=1)  # the same for the width alone
    shear: float = Field(0.0, ge=0, le=1)  # pixels sideways per pixel of height: a slant
    elastic_px: float = Field(0.0, ge=0, le=14)  # displacement of a smooth random field (Simard 2003)
    elastic_sigma_px: float = Field(4.0, ge=0.1, le=100)  # its smoothness: from independent pixels to one shift of all
    thickness: float = Field(0.0, ge=0, le=1)  # of strokes: 1 is a pixel less or more on each side
    erase_px: int = Field(0, ge=0, le=28)  # side of one square that is set to 0
    augment_source: str | None = Field(None, max_length=200)  # your own function after these, `augment=` in Python
    augment_sha256: str | None = Field(None, max_length=64)

    # Calibration that a `final` run takes over from its `select` twin, and the data that it was fitted on: of these,
    # it holds nothing out. A change of another field than the seed and the names takes the calibration away.
    temperature: float | None = Field(None, ge=0.001, le=1000)  # divides the logits; fitted ones are from 0.05 to 20
    accept_score: float | None = Field(None, ge=-1e6, le=1e6)  # a lower score is rejected; logits are tens
    calibrated_on: str | None = Field(None, max_length=64)  # SHA-256 of the training split

    @model_validator(mode="wrap")
    @classmethod
    def _in_our_words(cls, fields: Any, check: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Make a recipe of `fields`, whoever calls; what is wrong with them is one UsageError."""
        where = info.context or "Recipe"
        for key, value in fields.items():
            if key not in cls.model_fields:
                hint = did_you_mean(key[:40], cls.model_fields) or "See all fields in docs/recipes.md."
                raise UsageError(f"{where}: unknown recipe key {shorten(key)}", hint=hint)
            try:
                check_plain(value)
            except ValueError as exc:
                raise UsageError(f"{where}: {key}: {exc}") from exc
        try:
            recipe = check({key: _tuples(value) for key, value in fields.items()})
            recipe._check_consistent()
        except ValidationError as exc:
            raise _first_problem(exc, where) from exc
        except ValueError as exc:
            raise UsageError(f"{where}: {exc}") from exc
        return recipe

    def _repr_html_(self) -> str:
        """What a notebook shows: what differs from the bundled recipe of this name, or from the defaults; then all."""
        import inkdigit.markup as markup

        known = self.name in bundled()
        base = Recipe.load(self.name) if known else Recipe.from_fields({})
        mine, others = (recipe.model_dump(exclude={"name", "about"}) for recipe in (self, base))
        changed = [(key, value, others[key]) for key, value in mine.items() if value != others[key]]
        where = f"the bundled {self.name}" if known else "the defaults"
        return markup.block(
            self.name,
            self.about,
            markup.table(changed, head=("field", "here", where), left=3) if changed else f"As in {where}.",
            markup.folded("all fields", markup.table(list(mine.items()), left=2)),
            note=f"recipe, {self.size().parameters:,} parameters for {len(DIGITS)} classes",
        )

    def _check_consistent(self) -> None:
        """Raise a ValueError for fields that exclude each other."""
        if given := [field for field in self._unused() if field in self.model_dump(exclude_defaults=True)]:
            what = "net = 'external' is" if self.net == EXTERNAL else "layers are"
            raise ValueError(f"{what} all of the network: leave out {given[0]}")
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
        if self.prefer_hard and not self.steps_per_epoch:
            raise ValueError("prefer_hard chooses among the images: it needs steps_per_epoch")
        if self.outliers and self.teacher is not None:
            raise ValueError("a teacher does not know outliers: leave one of the two out")
        if self.protocol == "all" and self.validation:
            raise ValueError("protocol = 'all' holds nothing out: it excludes validation > 0")
        if self.needs_validation and self.protocol != "select" and (not self.validation or self.calibrated_on):
            some = f"validation > 0{', and no calibrated_on' * bool(self.calibrated_on)}"
            how = "a protocol that holds images out" if self.protocol == "all" else some
            raise ValueError(f"plateau, early stopping and keep = 'best' need {how}")
        if self.calibrated_on and self.temperature is None:
            raise ValueError("calibrated_on holds no images out to fit a temperature on: it needs temperature")
        if not self.name.isprintable():
            raise ValueError("name has characters that cannot be printed")
        if problem := self.too_large():
            raise ValueError(problem)

    def _unused(self) -> tuple[str, ...]:
        """The fields that do not count, because another one is all of the network."""
        return NET_FIELDS if self.net == EXTERNAL else BLOCK_FIELDS if self.layers else ()

    def check_described(self, what: str) -> None:
        """Raise a UsageError if the network or the augmentation is the user's own, which `what` cannot use."""
        if self.net == EXTERNAL or self.augment_sha256:
            received = self.net_source or self.augment_source or EXTERNAL
            hint = "Describe the network in the recipe: layers = […] has them in any order."
            raise UsageError(f"{what} takes no network or augmentation of your own", received=received, hint=hint)

    def listed(self) -> list[Layer]:
        """The layers that are listed one by one."""
        return layers.parse(self.layers)

    def outputs(self, classes: int) -> int:
        """The number of outputs of the network: one for each class and, with outliers, for each kind of them."""
        return classes + (len(OUTLIERS) if self.outliers else 0)

    def too_large(self, classes: int = len(DIGITS)) -> str | None:
        """Why the network is too large to train, with the keys to change; None where it is not, or is external."""
        if self.net == EXTERNAL:
            return None
        shape = "layers" if self.layers else "filters, kernel, convs_per_block, pooling, padding, dense"
        orthogonal = self.initializer == "orthogonal"
        return self.size(classes).too_large(batch=self.batch, keys=shape, orthogonal=orthogonal)

    def size(self, classes: int = len(DIGITS)) -> Size:
        """The size of the network."""
        if self.layers:
            return layers.measure(self.listed(), outputs=self.outputs(classes), batch_norm=self.batch_norm)
        columns = (self.per_block(field) for field in ("kernel", "convs_per_block", "pooling", "padding"))
        return measure(
            [Block(*row) for row in zip(self.filters, *columns, strict=True)],
            self.dense,
            outputs=self.outputs(classes),
            residual=self.block == "residual",
            flatten=self.head == "flatten",
            batch_norm=self.batch_norm,
            pool_first=self.pool_first,
        )

    @property
    def needs_validation(self) -> bool:
        """Whether training decides anything by the validation split."""
        return self.schedule == "plateau" or self.early_stopping_patience_epochs > 0 or self.keep == "best"

    def is_twin_of(self, other: Recipe) -> bool:
        """Whether both train the same network in the same way, whichever images they hold out."""
        same = self.model_dump(exclude=OF_THE_TWIN) == other.model_dump(exclude=OF_THE_TWIN)
        return same and (self.teacher is None) == (other.teacher is None)

    def differs_in(self, fields: Iterable[str], other: Recipe) -> str | None:
        """The first of `fields` whose values differ in the two recipes; None where they are the same."""
        return next((field for field in fields if getattr(self, field) != getattr(other, field)), None)

    def per_block(self, field: str) -> tuple[Any, ...]:
        """A field that may have one value for all blocks, as one value per block."""
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
            raise UsageError(f"{path} cannot be read: {reason_of(exc)}") from exc
        except ValueError as exc:
            raise UsageError(f"{path} is not a TOML file: {exc}") from exc
        return cls.from_fields({"name": path.stem, **_replaced(fields, changes or {})}, where=str(recipe))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
        """Check `fields` and make a recipe of them; TOML's lists become tuples.

        Raises:
            UsageError: an unknown key, a value of another type or outside its range, fields that exclude each other.
        """
        return cls.model_validate(dict(fields), context=where)

    def change(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with some fields changed, checked again."""
        return self.from_fields(_replaced(self.model_dump(), changes), where=self.name)

    def to_toml(self) -> str:
        """Every field as TOML, one per line; a field that is None, or does not count, is left out.

        TOML writes texts, numbers, booleans and lists as JSON does, with the exception of one character.
        """
        used = self.model_dump(exclude={*self._unused()}, exclude_none=True)
        text = "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in used.items())
        return text.replace("\x7f", "\\u007f")

    @property
    def sha256(self) -> str:
        """The hash of the recipe without its seed: a field that a later release adds does not change it.

        Of a teacher it holds only that there is one: the card has the SHA-256 of its file.
        """
        names = {"seed", "about", "net_source", "augment_source"}
        fields = self.model_dump(exclude=names, exclude_defaults=True, mode="json")
        if self.teacher is not None:
            fields["teacher"] = True
        return hashlib.sha256(repr(sorted(fields.items())).encode()).hexdigest()


def _first_problem(exc: ValidationError, where: str) -> UsageError:
    """What pydantic finds wrong with a recipe, as an error of ours."""
    first, *_ = errors = exc.errors()
    name = first["loc"][0]
    # Of a field that may be a list, the innermost error says most.
    inner = max((error for error in errors if error["loc"][0] == name), key=lambda error: len(error["loc"]))
    return UsageError(f"{where}: {name}: {inner['msg']}", received=shorten(inner["input"]))


def _replaced(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`fields` with `changes`; another network replaces all that was said of the one before.

    The calibration goes with any change after which it would be that of another training.
    """
    external = changes.get("net") == EXTERNAL
    gone = set[str]()
    if (external or changes.get("layers")) and not (external and fields.get("net") == EXTERNAL):
        gone = {*(NET_FIELDS if external else BLOCK_FIELDS), "about"}
    if any(fields.get(key) != value for key, value in changes.items() if key not in KEEP_CALIBRATION):
        gone |= {*CALIBRATION}
    return {**{key: value for key, value in fields.items() if key not in gone}, **changes}


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def bundled() -> dict[str, Path]:
    """The recipes that ship with the package: name → TOML file."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def list_recipes() -> list[str]:
    """The names of the recipes that ship with the package."""
    return list(bundled())


def find(recipe: str) -> Path:
    """The TOML file of a bundled name or a path.

    Raises:
        UsageError: neither a bundled name nor a file.
    """
    if recipe in (known := bundled()):
        return known[recipe]
    path = Path(recipe)
    with looking_up(recipe):
        path = path / RECIPE if path.is_dir() else path  # a run directory
        if path.suffix == ".toml" and path.is_file():
            return path
    raise UsageError(
        f"There is no recipe {recipe!r}",
        expected=f"one of {', '.join(known)}, or the path of a TOML file",
        hint=did_you_mean(recipe, known),
    )


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """Read each `key=value` as TOML; a value that is not TOML is taken as text.

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
