"""Prediction: images of any size → preprocessing → the network → predictions.

In: paths, bytes, PIL images or arrays. Out: one `Prediction` for each image. Everything that predicts (command line,
service, evaluation) calls `Recognizer.predict`. ONNX Runtime runs the network; no training library is needed.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain, islice
from numbers import Real  # NumPy's numbers too
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime as ort

import inkdigit.runs as runs
from inkdigit.errors import (
    ModelFileError,
    NotAModelFile,
    PictureError,
    SelfTestFailed,
    UnsupportedFormat,
    UsageError,
    did_you_mean,
    interleave,
)
from inkdigit.files import looking_up
from inkdigit.machine import cores
from inkdigit.model.card import OUTPUTS, TOLERANCE, Card
from inkdigit.model.session import broken, open_model
from inkdigit.picture.batch import read_each
from inkdigit.picture.decode import Picture, Pictures, decode, split_pictures
from inkdigit.picture.photo.network import VERSION as INK_VERSION
from inkdigit.picture.prepare import KINDS, VERSION, prepare, prepare_all
from inkdigit.types import NO_INK, SIDE, UNSURE, Floats, Gray, Prediction

if TYPE_CHECKING:
    from concurrent.futures import Future

LOG = logging.getLogger(__name__)
DEFAULT = "general"  # the bundled model that answers when none is named
ZOO = Path(__file__).parent / "zoo"
# Images that go through the network at a time. `fast` takes 11.4 µs of processor time for each image of 32 or 64, 13 of
# 512, 14 of 2,048 (probably because of the caches). The predictions are the same bit for bit.
CHUNK = 64
MAX_THREADS = 4  # that take a chunk each: more gain nothing, and a service has other requests


class Recognizer:
    """A loaded model file that predicts the class of images."""

    def __init__(self, session: ort.InferenceSession, card: Card, *, path: Path) -> None:
        """Use `load`, which reads the session and the card from a file."""
        self._session = session
        self.card = card
        self.path = path
        self._accept_score = card.calibration.accept_score
        self._min_confidence = card.calibration.min_confidence
        self.threads = min(MAX_THREADS, cores())  # that run the network, where there are many images

    @classmethod
    def load(
        cls,
        model: str | Path = "default",
        *,
        accept_all: bool = False,
        min_confidence: float | None = None,
        threads: int | None = None,
    ) -> Recognizer:
        """Open a model by bundled name, run directory or `.onnx` path, and run its self test.

        It rejects what its card says. With `accept_all` it answers every image that has ink; below `min_confidence`
        (0 to 1) it is unsure in any case. `threads` run the network where there are many images, by default up to four.

        Raises:
            UsageError: there is no such model, or `min_confidence` is not a confidence.
            NotAModelFile: the file is not ONNX, or has no card.
            UnsupportedFormat: the card has another format, or needs a preprocessing that this release does not have.
            SelfTestFailed: the file does not predict what it did when it was written.
        """
        if not (min_confidence is None or (isinstance(min_confidence, Real) and 0 <= min_confidence <= 1)):
            raise UsageError("This is not a confidence", expected="min_confidence from 0 to 1", received=min_confidence)
        path = find(model)
        session, text = open_model(path)
        card = Card.from_json(text, where=str(path), check=not is_of_package(path))
        if (len(session.get_outputs()) > len(OUTPUTS)) != bool(card.outliers):
            raise NotAModelFile(f"{path}: its card and its network do not agree on outliers")
        if card.prepare not in KINDS or card.prepare_version > VERSION:
            raise UnsupportedFormat(
                f"{path}: needs a preprocessing that this release does not have",
                received=f"{card.prepare} {card.prepare_version}",
                hint="Upgrade inkdigit.",
            )
        recognizer = cls(session, card, path=path)
        recognizer._test_itself()
        LOG.debug("Model %s from %s: %d classes, self test passed.", card.name, path, len(card.classes))
        if accept_all:
            recognizer._accept_score, recognizer._min_confidence = None, 0.0
        if min_confidence is not None:
            recognizer._min_confidence = min_confidence
        if threads is not None:
            recognizer.threads = threads
        return recognizer

    @classmethod
    def of(cls, model: Recognizer | str | Path) -> Recognizer:
        """`model` itself where it is loaded already, else what `load` opens."""
        if isinstance(model, str | Path):
            return cls.load(model)
        if not hasattr(model, "predict"):
            raise _not_a_name(model)
        return model

    def _repr_html_(self) -> str:
        """What a notebook shows: the card."""
        import inkdigit.markup as markup
        from inkdigit.model.facts import facts

        return markup.block(self.name, markup.facts(facts(self.card)), note=self.path.name)

    @property
    def name(self) -> str:
        """The name on the card."""
        return self.card.name

    @property
    def prepare(self) -> str:
        """The kind of preprocessing that its images get."""
        return self.card.prepare

    @property
    def ink(self) -> int | None:
        """The version of the network that finds the ink of its photos; None if its images are not ink."""
        return INK_VERSION if self.prepare == "ink" else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of `Prediction.probs`."""
        return self.card.classes

    def predict(self, pictures: Pictures) -> list[Prediction]:
        """Predict the class of each image; always a list, also for one.

        An array, a tensor or nested lists of numbers are one image (H, W) or (H, W, 1..4), or several: (N, H, W),
        (N, H, W, 1..4) or (N, 1..4, H, W). Where two of these fit, the first one counts: (3, 28, 28) is three gray
        images. In a list each item is one image.

        Raises:
            PictureError: an image cannot be read; nothing is predicted then.
        """
        several = split_pictures(pictures)
        if len(several) == 1:  # without threads: somebody waits for it
            alone = prepare(decode(several[0]), self.prepare)
            return [_of(several[0], answer) for answer in self._predict(alone[None])]
        if isinstance(several, np.ndarray) and several.ndim == 3:
            return self._predict(prepare_all(several, self.prepare))
        answers: list[Prediction] = []
        for picture, answer in zip(several, self.predict_each(several), strict=True):
            if isinstance(answer, PictureError):
                raise answer
            answers.append(_of(picture, answer))
        return answers

    def predict_proba(self, pictures: Pictures) -> Floats:
        """The probability of each class for each image: float32 (N, K), in the order of `classes`; rows sum to 1.

        `pictures` are what `predict` takes. An image that the model would reject has the probabilities that it computed
        all the same; where there is no ink, all classes are equally probable.

        Raises:
            PictureError: an image cannot be read.
        """
        even = np.full(len(self.classes), 1 / len(self.classes), np.float32)
        rows = [even if answer.probs is None else answer.probs for answer in self.predict(pictures)]
        return np.stack(rows) if rows else np.zeros((0, len(even)), np.float32)

    def predict_each(self, pictures: Iterable[Picture | PictureError]) -> Iterator[Prediction | PictureError]:
        """Predict single images as they come, in their order; one that cannot be read gives its error instead.

        Only some images are in memory at a time, and the network runs while the next ones are read. An error among the
        images comes out as it is.
        """
        reads = read_each(pictures, self.prepare)
        first = list(islice(reads, 2))
        if len(first) < 2:
            for images, errors in first:
                yield from interleave(self._predict(images), errors)
            return
        from concurrent.futures import ThreadPoolExecutor  # only for many images

        waiting: deque[tuple[Future[list[Prediction]], dict[int, PictureError]]] = deque()
        with ThreadPoolExecutor(1) as network:
            for images, errors in chain(first, reads):
                waiting.append((network.submit(self._predict, images), errors))
                if len(waiting) > 1:  # the network runs on one while the next is read
                    predictions, errors = waiting.popleft()
                    yield from interleave(predictions.result(), errors)
            for predictions, errors in waiting:
                yield from interleave(predictions.result(), errors)

    def probs_as_prepared(self, images: Gray) -> Floats:
        """The probabilities (N, K) of `images` uint8 (N, 28, 28), which are prepared already and then changed.

        It shows the effect of a change that preprocessing would undo; figures are measured with `predict`.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"images: expected uint8 (N, 28, 28), got {images.dtype} {images.shape}")
        return self._run(images)[0]

    def _predict(self, images: Gray) -> list[Prediction]:
        """One prediction for each of `images` uint8 (N, 28, 28), which are prepared."""
        if not len(images):
            return []
        probs, scores, outliers = self._run(images)
        inked = np.any(images, axis=(1, 2)) if self.prepare == "ink" else np.ones(len(images), bool)
        best, confidences = probs.argmax(1).tolist(), probs.max(1).tolist()
        rows = zip(images, probs, best, confidences, scores.tolist(), outliers, inked, strict=True)
        return [
            self._judge(seen.copy(), prob, k, confidence, score, outlier)  # a view would keep all images in memory
            if ink
            else Prediction(None, reason=NO_INK, classes=self.classes, seen=seen.copy())
            for seen, prob, k, confidence, score, outlier, ink in rows
        ]

    def _judge(
        self, seen: Gray, probs: Floats, best: int, confidence: float, score: float, outlier: Floats
    ) -> Prediction:
        reason = None
        if self._accept_score is not None and score < self._accept_score:
            reason = self.card.outliers[int(outlier.argmax())] if self.card.outliers else UNSURE
        elif confidence < self._min_confidence:
            reason = UNSURE
        label = None if reason else self.classes[best]
        return Prediction(label, confidence, probs, score, reason, self.classes, seen)

    def _run(self, images: Gray) -> list[Floats]:
        """The network on uint8 (N, 28, 28): probabilities (N, K), scores (N,), and shares of M outliers (N, M)."""
        chunks = [images[i : i + CHUNK] for i in range(0, len(images), CHUNK)]
        if len(chunks) > 1 and self.threads > 1:
            from concurrent.futures import ThreadPoolExecutor  # only for many images

            with ThreadPoolExecutor(self.threads) as pool:
                results = list(pool.map(self._run_chunk, chunks))
        else:
            results = [self._run_chunk(chunk) for chunk in chunks]
        return [np.concatenate(outputs) for outputs in zip(*results, strict=True)]

    def _run_chunk(self, images: Gray) -> list[Floats]:
        try:
            outputs: list[Floats] = self._session.run(None, {"image": images})
        except broken() as exc:
            raise ModelFileError(f"{self.path}: the network does not run ({exc})") from exc
        return outputs if self.card.outliers else [*outputs, np.zeros((len(images), 0), np.float32)]

    def _test_itself(self) -> None:
        test = self.card.self_test
        try:
            probs, scores, _ = self._run(test.images)
        except ModelFileError as exc:
            raise SelfTestFailed(str(exc)) from exc
        fits = scores.shape == (len(probs),)
        test.check(probs if fits else probs[:0], allowed=TOLERANCE.get(self.card.numbers, 1e-3), path=self.path)


def _of(picture: Picture, answer: Prediction) -> Prediction:
    """The answer, with the file of its picture."""
    return replace(answer, file=picture) if isinstance(picture, str | Path) else answer


def bundled() -> dict[str, Path]:
    """The models for single digits that ship with the package: name → file."""
    return {path.stem: path for path in sorted(ZOO.glob("*.onnx"))}


def list_models() -> list[str]:
    """The names of the models for single digits that ship with the package."""
    return list(bundled())


def readers() -> dict[str, Path]:
    """The line readers that ship with the package: name → file."""
    return {path.stem: path for path in sorted((ZOO / "readers").glob("*.onnx"))}


def is_of_package(path: Path) -> bool:
    """Whether a model file came with the package: its card is trusted as the code beside it is."""
    return ZOO in path.parents


def find(model: str | Path) -> Path:
    """Find the model file by a bundled name, a path, or the name of a run as `runs.find` takes it.

    This is the one place that says what MODEL may be. A bundled name comes before a path, and a path before a run; a
    `Path` is never a name.

    Raises:
        UsageError: there is no such model.
    """
    if not isinstance(model, str | Path):
        raise _not_a_name(model)
    known = bundled()
    name = DEFAULT if model == "default" else str(model)
    if isinstance(model, str) and (file := {**known, **readers()}.get(name)) is not None:
        return file
    with looking_up(name):
        if (file := _file_at(Path(model))) is not None:
            return file
        if (
            isinstance(model, str)
            and runs.is_called(name)
            and (file := _file_at(runs.find(name, finished=True))) is not None
        ):
            return file
    raise UsageError(
        f"There is no model {str(model)!r}",
        expected=f"a bundled model ({', '.join(known)}), a run or its name, or an .onnx file",
        hint=did_you_mean(name, known),
    )


def _not_a_name(model: object) -> UsageError:
    expected = "a Recognizer, the name of a bundled model, or a path"
    return UsageError("This does not name a model", expected=expected, received=type(model).__name__)


def _file_at(path: Path) -> Path | None:
    """The model file at a path: the file itself, or that of the run directory."""
    if not path.is_dir():
        return path if path.is_file() else None
    if (file := runs.model_path(path)).is_file():
        return file
    hint = None
    if (path / runs.RECIPE).is_file():
        hint = f"The run is unfinished. Go on with: inkdigit train --resume {path}"
    elif (path / runs.SEEDS).is_file():
        hint = f"Join its seeds in one model with: inkdigit ensemble {path} --out {path.name}.onnx"
    raise UsageError(f"There is no model in {path}", expected="a run directory", hint=hint)


def load(model: str | Path = "default", *, accept_all: bool = False, min_confidence: float | None = None) -> Recognizer:
    """Open a model by bundled name, run directory or `.onnx` path; see `Recognizer.load`."""
    return Recognizer.load(model, accept_all=accept_all, min_confidence=min_confidence)


def predict(pictures: Pictures, *, model: Recognizer | str | Path = "default") -> list[Prediction]:
    """Predict the class of each image; always a list, also for one.

    To reject more or less, `load` a model first. The default one is loaded for the first call alone.

    Args:
        pictures: one image, or several in a list, a tuple or an array: paths, bytes of a file, PIL images, arrays,
            tensors, nested lists. An array is (H, W), (H, W, 1..4), (N, H, W), (N, H, W, 1..4) or (N, 1..4, H, W).
        model: a bundled name, a run directory, an `.onnx` path, or what `load` returns.

    Raises:
        PictureError: an image cannot be read; nothing is predicted then.
        UsageError: there is no such model.
    """
    return _opened(model).predict(pictures)


def predict_proba(pictures: Pictures, *, model: Recognizer | str | Path = "default") -> Floats:
    """The probability of each class for each image: float32 (N, K), in the order of `load(model).classes`.

    Rows sum to 1, also of an image that `predict` would reject. Where there is no ink, all classes are equally
    probable.

    Args:
        pictures: one image, or several in a list, a tuple or an array: paths, bytes of a file, PIL images, arrays,
            tensors, nested lists. An array is (H, W), (H, W, 1..4), (N, H, W), (N, H, W, 1..4) or (N, 1..4, H, W).
        model: a bundled name, a run directory, an `.onnx` path, or what `load` returns.

    Raises:
        PictureError: an image cannot be read.
        UsageError: there is no such model.
    """
    return _opened(model).predict_proba(pictures)


def _opened(model: Recognizer | str | Path) -> Recognizer:
    """A model; the default one is loaded for the first call alone."""
    return _default() if model == "default" else Recognizer.of(model)


@cache
def _default() -> Recognizer:
    return Recognizer.load()
