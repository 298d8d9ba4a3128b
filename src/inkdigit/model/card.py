"""The card of a model file: a dataclass here, JSON in the ONNX metadata there.

In and out: `Card` ⇄ the text under `inkdigit.card`. The card only describes; whatever changes a prediction is inside
the graph, except the threshold below which the recogniser rejects an image.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inkdigit.errors import NotAModelFile, SelfTestFailed, UnsupportedFormat
from inkdigit.model import schema
from inkdigit.model.provenance import Provenance
from inkdigit.model.schema import DIGIT, LINE
from inkdigit.parsing import parse_json
from inkdigit.types import SIDE, Floats, Gray

FORMAT = 1
METADATA_KEY = "inkdigit.card"
MAX_CHARACTERS = 2**22  # of a card: ours have 7,000, of large ensembles some 100,000
MAX_SELF_TEST_BYTES = 2**22  # of its images: ours have some ten thousand
OUTPUTS, OUTLIERS_OUTPUT = ("probs", "score"), "outliers"  # of the graph; the last if the network has learned outliers
LINE_OUTPUT = "log_probs"  # of the graph of a line reader
TOLERANCE = {"float32": 1e-3, "int8": 0.05}  # how far a self test may be off, by number type


@dataclass(frozen=True, slots=True)
class Ink:
    """The network that finds the ink of photos, as it was when the model was trained and calibrated."""

    version: int
    sha256: str

    @classmethod
    def installed(cls) -> Ink:
        """That of this release."""
        from inkdigit.picture.photo.network import VERSION, sha256  # the file is read only to be named

        return cls(VERSION, sha256())

    def __str__(self) -> str:
        """The version and the beginning of the hash."""
        return f"{self.version} ({self.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How confidences were calibrated, and below which score or confidence the model rejects an image."""

    temperature: float = 1.0  # already inside the graph
    accept_score: float | None = None  # the threshold; None: nothing is rejected by its score
    keeps: float | None = None  # coverage: the share of held-out images that the threshold accepts
    fitted_on: str = "nothing"
    min_confidence: float = 0.0  # below it the model is unsure


@dataclass(frozen=True, slots=True, eq=False)
class SelfTest:
    """A few images and what the model predicted for them when it was written."""

    images: Gray  # uint8 (n, 28, 28); of a line reader views (n, 2, 48, w)
    probs: Floats  # float32 (n, K); of a line reader those of each step, (n · T, 1 + A)

    def __post_init__(self) -> None:
        """Check that there is an image, and as many predictions as images, or as many for each."""
        if not len(self.images) or not len(self.probs) or len(self.probs) % len(self.images):
            raise ValueError(f"self test: {len(self.images)} images, {len(self.probs)} predictions")

    def check(self, probs: Floats, *, allowed: float, path: Path) -> None:
        """Check what the model at `path` predicts for the images now: it may differ by `allowed`.

        Raises:
            SelfTestFailed: it differs more, has another shape, or is not a number.
        """
        difference = np.abs(probs - self.probs).max() if probs.shape == self.probs.shape else np.inf
        if not difference <= allowed:  # also where it is not a number
            raise SelfTestFailed(
                f"{path}: the self test gives other probabilities than when the file was written",
                expected=f"probabilities within {allowed}",
                received=f"a difference of {difference:.4f}",
                hint="The file is damaged, or this processor rounds differently; train or fetch the model again.",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Card:
    """What a model is, how its images are prepared, what was measured, and where it comes from."""

    name: str
    classes: tuple[str, ...]
    prepare: str  # the kind of preprocessing
    prepare_version: int
    parameters: int
    calibration: Calibration
    self_test: SelfTest
    numbers: str = "float32"  # or int8
    ink: Ink | None = None  # None: older than that network, or of images that are not ink
    outliers: tuple[str, ...] = ()  # what the network tells apart from its classes: each is a reason to reject
    figures: dict[str, Any] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)
    task: str = DIGIT  # or line, whose classes are the characters that it reads

    def to_json(self) -> str:
        """The text that goes into the model file."""
        test = self.self_test
        ink = {"ink": asdict(self.ink)} if self.ink else {}
        packed = base64.b64encode(zlib.compress(test.images.tobytes(), 9)).decode()
        return json.dumps(
            {
                "format": FORMAT,
                **({} if self.task == DIGIT else {"task": self.task}),
                "name": self.name,
                "classes": list(self.classes),
                "prepare": {"kind": self.prepare, "version": self.prepare_version, **ink},
                "parameters": self.parameters,
                "numbers": self.numbers,
                "outliers": list(self.outliers),
                "calibration": asdict(self.calibration),
                "figures": self.figures,
                "provenance": self.provenance.to_json(),
                "self_test": {
                    "images": packed,
                    **({} if self.task == DIGIT else {"shape": list(test.images.shape)}),
                    "probs": [[round(float(p), 6) for p in row] for row in test.probs],
                },
            }
        )

    @classmethod
    def from_json(cls, text: str, *, where: str, check: bool = True) -> Card:
        """Read the text of a model file. Without `check` it is one of the package, which is trusted as its code is.

        Raises:
            UnsupportedFormat: the card is of a format that this release does not read.
            NotAModelFile: the text is not a card.
        """
        if len(text) > MAX_CHARACTERS:
            raise NotAModelFile(f"{where}: its card is too long", expected=f"at most {MAX_CHARACTERS:,} characters")
        try:
            raw = parse_json(text)
            number = raw["format"]
        except (ValueError, TypeError, KeyError) as exc:
            raise NotAModelFile(f"{where}: its card is not readable ({exc})") from exc
        if number != FORMAT or isinstance(number, bool):
            hint = "Upgrade inkdigit." if isinstance(number, int) and number > FORMAT else "Train the model again."
            received = repr(number)[:80]
            raise UnsupportedFormat(f"{where}: unknown card format", expected=FORMAT, received=received, hint=hint)
        try:
            if check:
                schema.check(raw)
            return cls._from_fields(raw)
        except ValueError as exc:
            raise NotAModelFile(f"{where}: its card is broken ({exc})") from exc

    @classmethod
    def _from_fields(cls, raw: dict[str, Any]) -> Card:
        """A card of fields that were checked."""
        test = raw["self_test"]
        classes, task = tuple(raw["classes"]), raw.get("task", DIGIT)
        outputs = len(classes) + (task == LINE)  # a line reader also has none of its characters
        if any(len(row) != outputs for row in test["probs"]):
            raise ValueError(f"self_test.probs: not {outputs} probabilities, one for each class")
        shape = tuple(test.get("shape", (len(test["probs"]), SIDE, SIDE)))
        return cls(
            name=raw["name"],
            classes=classes,
            prepare=raw["prepare"]["kind"],
            prepare_version=raw["prepare"]["version"],
            parameters=raw["parameters"],
            calibration=Calibration(**raw["calibration"]),
            self_test=SelfTest(images=_unpack(test["images"], shape), probs=np.array(test["probs"], np.float32)),
            numbers=raw["numbers"],
            ink=Ink(**{key: ink[key] for key in ("version", "sha256")}) if (ink := raw["prepare"].get("ink")) else None,
            outliers=tuple(raw.get("outliers", ())),
            figures=raw["figures"],
            provenance=Provenance.from_json(raw["provenance"]),
            task=task,
        )


def _unpack(packed: str, shape: tuple[int, ...]) -> Gray:
    """The images of a self test, uint8 of this shape; no more is inflated than they have.

    Raises:
        ValueError: it is not base64 of deflated data, or holds more or fewer images.
    """
    size = math.prod(shape)
    if size > MAX_SELF_TEST_BYTES:
        raise ValueError(f"self_test.shape: more than {MAX_SELF_TEST_BYTES:,} bytes")
    stream = zlib.decompressobj()
    try:
        pixels = stream.decompress(base64.b64decode(packed, validate=True), size + 1)
    except (ValueError, zlib.error) as exc:
        raise ValueError(f"self_test.images: not deflated images in base64 ({exc})") from exc
    if len(pixels) != size or not stream.eof:
        raise ValueError(
            f"self_test.images: not {shape[0]} images of {'×'.join(map(str, shape[1:]))}, "
            "one for each row of self_test.probs"
        )
    return np.frombuffer(pixels, np.uint8).reshape(shape)
