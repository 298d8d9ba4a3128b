"""The client of a running `inkdigit serve`: images in, predictions and readings out.

In: the address of a server, and images. Out: one answer per image, in their order. `ask` gives those of
`predict --json` and needs only the standard library: no image is decoded on this side, and there are no arrays.
`Client` takes and returns what a loaded model does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlencode

from inkdigit.connection import AT_A_TIME, KINDS, Answer, Connection, Question
from inkdigit.errors import NotAPicture, PictureError, PictureTooLarge, interleave, reason_of

if TYPE_CHECKING:
    from inkdigit.picture.decode import Pictures
    from inkdigit.types import Prediction, Reading

USUAL_BYTES = 2**20  # of the images of a request, at most: a fraction of a second of upload; a larger image goes alone
FRAME_BYTES = 256  # around each image of a form: an upper limit of its boundary and headers
TIMEOUT_S = 30.0  # three times the time limit of a service with default options
# What each answer has.
OF_PREDICTION = frozenset({"label", "confidence", "score", "reason", "probs", "model"})
OF_READING = frozenset({"text", "confidence", "reason", "numbers", "model"})
OF_GRID = frozenset({"rows", "confidences", "changed", "model"})
OF_FORM = frozenset({"fields", "model"})

Thing = TypeVar("Thing")
Batch = list[tuple[str | None, bytes | PictureError]]  # the name of each file, and its bytes or its error


def ask(
    server: str,
    files: Iterable[Path | bytes | PictureError],
    *,
    token: str | None = None,
    model: str | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[Answer]:
    """Answer each file as `predict --json` does: with a prediction, or with `error` and `kind`.

    Several files are sent in one request, and all requests over one connection. A file that cannot be read here, and an
    error among the files, are answers in their places. `timeout` is in seconds, for each wait for the server.

    Raises:
        UsageError: `server` is not an address, or the server does not have the model.
        Unreachable: the server does not answer, or is not Inkdigit.
        Unauthorized: the server requires a token, or another one.
        Busy: the server was too busy, also after several retries.
        TooSlow: a request of one image took longer than the server allows.
    """
    path = "/predict" if model is None else f"/predict?model={quote(model, safe='')}"
    question = Question(path, "predictions", OF_PREDICTION)
    return _ask(Connection(server, token=token, timeout=timeout), question, files)


def ask_readings(
    server: str,
    files: Iterable[Path | bytes | PictureError],
    *,
    expect: str | None = None,
    alphabet: str | None = None,
    grid: str | None = None,
    as_written: bool = False,
    fields: str | None = None,
    token: str | None = None,
    timeout: float = TIMEOUT_S,
) -> Iterator[Answer]:
    """Answer each file as `read --json` does, with the numbers in it; else as `ask`. The server has one reader.

    With `grid`, as `9x9`, an answer has the rows of a grid; `as_written` leaves the rules of a sudoku out. With
    `fields`, a text in TOML, it has the values of a form.
    """
    named = {"expect": expect, "alphabet": alphabet, "grid": grid, "as_written": "true" if as_written else None}
    limits = {name: value for name, value in named.items() if value is not None}
    path = f"/read?{urlencode(limits)}" if limits else "/read"
    keys = OF_GRID if grid is not None else OF_READING if fields is None else OF_FORM
    question = Question(path, "readings", keys, {} if fields is None else {"fields": fields})
    return _ask(Connection(server, token=token, timeout=timeout), question, files)


@dataclass(frozen=True)
class Client:
    """A running `inkdigit serve`, asked as a loaded model is; what it answers and rejects, the server decides.

    `server` is an address as http://HOST:PORT; `model` is one of the models that it has loaded, by default its first
    one; `timeout` is in seconds, for each wait for the server. Nothing is sent before the first question. Raises
    UsageError for what is not an address, or a token that cannot be sent.
    """

    server: str
    token: str | None = field(default=None, repr=False)
    model: str | None = None
    timeout: float = TIMEOUT_S

    def __post_init__(self) -> None:
        """Check address and token."""
        self._connection()

    def predict(self, pictures: Pictures) -> list[Prediction]:
        """Predict the class of each image; `pictures` are what `Recognizer.predict` takes, always a list comes back.

        Files are sent as they are, arrays and PIL images as gray PNG.

        Raises:
            PictureError: an image cannot be read; nothing is predicted then.
            UsageError: the server does not have the model.
            Unreachable, Unauthorized, Busy, TooSlow: as for `inkdigit predict --server`.
        """
        from inkdigit.types import Prediction

        answers = ask(self.server, _files(pictures), token=self.token, model=self.model, timeout=self.timeout)
        made = self._made(Prediction.from_json, answers)
        return [replace(one, classes=self.classes) for one in made]

    def read(self, pictures: Pictures, *, expect: str | None = None, alphabet: str | None = None) -> list[Reading]:
        """Read the numbers of each picture; see `Reader.read`. The server has one reader, whatever `model` is.

        Raises:
            PictureError: a picture cannot be read; nothing is read then.
            UsageError: no number can fit `expect`, or the reader does not know a character of `alphabet`.
            Unreachable, Unauthorized, Busy, TooSlow: as `predict`.
        """
        from inkdigit.types import Reading

        sent = _files(pictures)
        answers = ask_readings(
            self.server, sent, expect=expect, alphabet=alphabet, token=self.token, timeout=self.timeout
        )
        return self._made(Reading.from_json, answers)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of `Prediction.probs`.

        Raises:
            Unreachable, Unauthorized: as `predict`.
        """
        return tuple(classes(self.server, self.model, token=self.token, timeout=self.timeout))

    def _connection(self) -> Connection:
        return Connection(self.server, token=self.token, timeout=self.timeout)

    def _made(self, make: Callable[[Answer], Thing], answers: Iterable[Answer]) -> list[Thing]:
        """What the answers say, as objects.

        Raises:
            PictureError: one of them is an error.
            Unreachable: one of them has another form.
        """
        made = []
        for answer in answers:
            if "error" in answer:
                raise KINDS.get(str(answer["kind"]), PictureError)(str(answer["error"]))
            try:
                made.append(make(answer))
            except (KeyError, TypeError, ValueError) as exc:
                raise self._connection().not_inkdigit("an answer has another form") from exc
        return made


def _files(pictures: Pictures) -> list[Path | bytes | PictureError]:
    """What is sent of each image: its file, or a gray PNG of what is in memory."""
    from PIL import Image

    from inkdigit.picture.decode import decode, split_pictures

    def sent(picture: Any) -> Path | bytes:
        if isinstance(picture, str | Path):
            return Path(picture)
        if isinstance(picture, bytes | bytearray | memoryview):
            return bytes(picture)
        png = BytesIO()
        Image.fromarray(decode(picture)).save(png, "PNG")
        return png.getvalue()

    return [sent(picture) for picture in split_pictures(pictures)]


def classes(server: str, model: str | None, *, token: str | None = None, timeout: float = TIMEOUT_S) -> list[str]:
    """The names of the classes of a model that the server has loaded, in the order of an answer's `probs`.

    None is the model that answers by default.

    Raises:
        InkdigitError: as `ask`.
    """
    with Connection(server, token=token, timeout=timeout) as connection:
        models = connection.get("/models")
        try:
            name = models["default"] if model is None else model
            (entry,) = [entry for entry in models["models"] if entry["name"] == name]
            return [str(name) for name in entry["classes"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise connection.not_inkdigit("/models does not list the classes of the model") from exc


def _ask(connection: Connection, question: Question, files: Iterable[Path | bytes | PictureError]) -> Iterator[Answer]:
    """The answers to a question about files."""
    with connection:  # now, not with the first answer
        max_bytes, max_files = connection.limits()
    beside = sum(FRAME_BYTES + len(text.encode()) for text in question.texts.values())
    return _answers(connection, question, _batches(files, max(max_bytes - beside, 0), min(max_files, AT_A_TIME)))


def _answers(connection: Connection, question: Question, batches: Iterator[Batch]) -> Iterator[Answer]:
    with connection:
        for batch in batches:
            pictures = [data for _, data in batch if isinstance(data, bytes)]
            errors = {i: data for i, (_, data) in enumerate(batch) if isinstance(data, PictureError)}
            answers = connection.answers(question, pictures) if pictures else []
            for (name, _), answer in zip(batch, interleave(answers, errors), strict=True):
                yield _entry(name, answer)


def _entry(name: str | None, answer: Answer | PictureError) -> Answer:
    """An answer under the name of its file, which the server does not know."""
    if isinstance(answer, PictureError):
        return {"file": name, **answer.to_json()}
    if "error" in answer:
        problem = str(answer["error"])
        if name is not None and problem.startswith("the bytes:"):
            problem = f"{name}:{problem.removeprefix('the bytes:')}"
        return {"file": name, "error": problem, "kind": answer["kind"]}
    return {**answer, "file": name}


def _batches(files: Iterable[Path | bytes | PictureError], max_bytes: int, max_files: int) -> Iterator[Batch]:
    """Read the files, and group those that are sent in one request."""
    batch: Batch = []
    batch_bytes = 0
    for file in files:
        data = _read(file, max(max_bytes - 2 * FRAME_BYTES, 0)) if isinstance(file, Path) else file
        size = FRAME_BYTES + len(data) if isinstance(data, bytes) else 0
        if batch and (len(batch) == max_files or batch_bytes + size > min(USUAL_BYTES, max_bytes)):
            yield batch
            batch, batch_bytes = [], 0
        batch.append((str(file) if isinstance(file, Path) else None, data))
        batch_bytes += size
    if batch:
        yield batch


def _read(path: Path, max_bytes: int) -> bytes | PictureError:
    """The bytes of a file, or the error that `picture.decode` would raise: importing that takes too long."""
    try:
        if path.is_dir():
            return NotAPicture(f"{path} is a directory", expected="an image file")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError:
        return PictureError(f"There is no file {path}")
    except OSError as exc:
        return PictureError(f"{path} cannot be opened: {reason_of(exc)}")
    except ValueError as exc:  # a NUL in the name
        return PictureError(f"{str(path)!r} is not a file name ({exc})")
    if len(data) > max_bytes:
        return PictureTooLarge(f"{path} is too large for the server", expected=f"at most {max_bytes:,} bytes")
    return data
