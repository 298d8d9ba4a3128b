"""Where a model comes from: the data, recipes and files behind its weights.

In and out: `Provenance` ⇄ the JSON object under `provenance` on a model's card. Whoever asks what a model learned from
asks here: `data` is the set that trained it, `sources` every set that its weights learned from, `recipes` how.

    a training run      recipe, recipe_sha256, seed, data, and teacher or drawn where there were some
    an adapted model    the same, and one of `adaptations` for each time
    an int8 file        the same, and `made_from`: the float file
    an ensemble         `members`, each with its recipe; `made_from`: their files; `views`
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any

from inkdigit.parsing import parse_toml

# The SHA-256 of the prepared training split of MNIST: it is recognised under whatever name it comes.
MNIST_SHA256 = "625d77de004da9ab432032544f7e6d5622442b033c71ce1aa72665ded471b711"
# All are cut from NIST's Special Database 19 and its predecessors.
HOLDS_MNIST = ("mnist", "emnist-digits", "emnist-balanced", "emnist-byclass", "emnist-bymerge")


@dataclass(frozen=True, slots=True)
class Data:
    """A data set that a model learned from; None is what the card does not say."""

    name: str | None = None
    sha256: str | None = None  # of its prepared images and labels
    train: int | None = None  # images of its training split; of all of it where it has no test split
    test: int | None = None
    licence: str | None = None
    trained: int | None = None  # images that trained the model: `train` without those held out; older cards lack it

    @property
    def holds_mnist(self) -> bool:
        """Whether it is MNIST, or cut from the same collection."""
        return self.name in HOLDS_MNIST or self.sha256 == MNIST_SHA256

    def to_json(self) -> dict[str, Any]:
        """The object on the card; a set whose size is known has all of its keys but, on an older card, `trained`."""
        always = () if self.train is None else ("name", "sha256", "train", "test", "licence")
        return {key: value for key, value in asdict(self).items() if value is not None or key in always}


@dataclass(frozen=True, slots=True)
class Source:
    """A data set that the weights learned from, and how it took part: it completes "these images …"."""

    how: str
    data: Data


TRAINED = "trained the model"
TAUGHT = "trained the model's teacher"
ADAPTED_TO = "are what the model was adapted to"
REHEARSED = "were rehearsed when the model was adapted"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file as another one's card names it: by the folder and name of the file, and by its SHA-256."""

    file: str
    sha256: str

    @classmethod
    def of(cls, path: Path) -> ModelFile:
        """Name the file at `path`."""
        import hashlib  # OpenSSL: some milliseconds that most commands need not spend

        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return cls(f"{path.resolve().parent.name}/{path.name}", sha256)


@dataclass(frozen=True, slots=True)
class TeacherFile:
    """The model that a network was distilled from."""

    file: str
    sha256: str
    data: Data | None = None
    saw_mnist: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object on the card, and in env.json."""
        return {**asdict(self), "data": None if self.data is None else self.data.to_json()}


@dataclass(frozen=True, slots=True)
class Adaptation:
    """One time that the weights were adapted to a user's images."""

    data: Data  # the user's
    image_counts: Mapping[str, int]  # class → images
    replay: Data | None = None  # what was rehearsed
    augmentation: Mapping[str, Any] | None = None  # fields of a recipe
    settings: Mapping[str, Any] = field(default_factory=dict)  # the file that it began with, steps, seed, fraction

    def sources(self) -> Iterator[Source]:
        """The user's data, and what was rehearsed."""
        yield Source(ADAPTED_TO, self.data)
        if self.replay is not None:
            yield Source(REHEARSED, self.replay)

    def to_json(self) -> dict[str, Any]:
        """The object on the card."""
        return {
            **self.settings,
            "data": self.data.to_json(),
            "pictures": dict(self.image_counts),
            **({} if self.replay is None else {"replay": self.replay.to_json()}),
            **({} if self.augmentation is None else {"augmentation": dict(self.augmentation)}),
        }


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an ensemble, or the one network behind several views."""

    file: str
    sha256: str
    name: str
    recipe: str  # TOML
    seed: int
    temperature: float  # its logits are divided by this
    recipe_sha256: str | None = None
    adaptations: tuple[Adaptation, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object on the card."""
        known = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "adaptations"}
        return {
            **{key: value for key, value in known.items() if value is not None},
            **({"adapted": [step.to_json() for step in self.adaptations]} if self.adaptations else {}),
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a model comes from; None, an empty tuple or an empty text is what the card does not say."""

    recipe: str | None = None  # TOML, every field
    recipe_sha256: str | None = None
    seed: int | None = None
    created: str | None = None  # date and time
    commit: str | None = None
    libraries: Mapping[str, str | None] = field(default_factory=dict)  # name → version
    data: Data | None = None
    saw_mnist: bool = False
    drawn: str = ""  # what was drawn for the training, in words
    teacher: TeacherFile | None = None
    made_from: tuple[ModelFile, ...] = ()
    members: tuple[Member, ...] = ()
    views: int = 1  # of each image, in an ensemble
    adaptations: tuple[Adaptation, ...] = ()  # the latest last
    extra: Mapping[str, Any] = field(default_factory=dict)  # keys of other releases and programs, as they came

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipes of the weights as TOML: one a member, or the one; none where the card has none."""
        own = () if self.recipe is None else (self.recipe,)
        return tuple(member.recipe for member in self.members) or own

    @property
    def every_adaptation(self) -> tuple[Adaptation, ...]:
        """Each time that the weights, or those of a member, were adapted."""
        of_members = chain.from_iterable(member.adaptations for member in self.members)
        return (*of_members, *self.adaptations)

    def sources(self) -> Iterator[Source]:
        """Every data set that the weights learned from: by training, by a teacher, or when they were adapted."""
        if self.data is not None:
            yield Source(TRAINED, self.data)
        if self.teacher is not None and self.teacher.data is not None:
            yield Source(TAUGHT, self.teacher.data)
        for step in self.every_adaptation:
            yield from step.sources()

    def recipe_fields(self) -> list[dict[str, Any]] | None:
        """The fields of each of `recipes`; None where there is none, or one cannot be parsed."""
        try:
            return [parse_toml(text) for text in self.recipes] or None
        except ValueError:
            return None

    def augmentations(self) -> list[Mapping[str, Any]] | None:
        """How images were changed in each of `every_adaptation`; None if one does not say."""
        known = [step.augmentation for step in self.every_adaptation if step.augmentation is not None]
        return known if len(known) == len(self.every_adaptation) else None

    def to_json(self) -> dict[str, Any]:
        """The object on the card. What is not known is left out, but the commit of a file that has a date."""
        known = {
            "recipe": self.recipe,
            "recipe_sha256": self.recipe_sha256,
            "seed": self.seed,
            "members": [member.to_json() for member in self.members] or None,
            "made_from": [asdict(file) for file in self.made_from] or None,
            "views": self.views if self.members else None,
            "created": self.created,
            "commit": self.commit,
            "libraries": dict(self.libraries) or None,
            "data": None if self.data is None else self.data.to_json(),
            "saw_mnist": self.saw_mnist if self.created is not None or self.saw_mnist else None,
            "teacher": None if self.teacher is None else self.teacher.to_json(),
            "drawn": self.drawn or None,
            "adapted": [step.to_json() for step in self.adaptations] or None,
        }
        always = () if self.created is None else ("commit",)  # null where the code was not in a repository
        return {**{key: value for key, value in known.items() if value is not None or key in always}, **self.extra}

    @classmethod
    def from_json(cls, card: Mapping[str, Any]) -> Provenance:
        """Read the object on a card, which `model.schema` has checked."""
        teacher = card.get("teacher")
        return cls(
            **{key: card[key] for key in _AS_IT_IS if key in card},
            data=_data(card.get("data")),
            teacher=None if teacher is None else read_teacher(teacher),
            made_from=tuple(ModelFile(one["file"], one["sha256"]) for one in card.get("made_from", ())),
            members=tuple(map(_member, card.get("members", ()))),
            adaptations=_adaptations(card.get("adapted", ())),
            extra={key: value for key, value in card.items() if key not in _KEYS},
        )


_AS_IT_IS = ("recipe", "recipe_sha256", "seed", "created", "commit", "libraries", "saw_mnist", "drawn", "views")
_KEYS = {*_AS_IT_IS, "data", "teacher", "made_from", "members", "adapted"}


def read_teacher(stated: Mapping[str, Any]) -> TeacherFile:
    """A teacher as a card or env.json states it."""
    return TeacherFile(stated["file"], stated["sha256"], _data(stated.get("data")), bool(stated.get("saw_mnist")))


def _data(stated: Mapping[str, Any] | None) -> Data | None:
    if stated is None:
        return None
    return Data(**{item.name: stated.get(item.name) for item in fields(Data)})


def _member(stated: Mapping[str, Any]) -> Member:
    own = {item.name: stated.get(item.name) for item in fields(Member) if item.name != "adaptations"}
    return Member(**own, adaptations=_adaptations(stated.get("adapted", ())))  # type: ignore[arg-type]


def _adaptations(stated: Sequence[Mapping[str, Any]]) -> tuple[Adaptation, ...]:
    named = {"data", "pictures", "replay", "augmentation"}
    return tuple(
        Adaptation(
            data=_data(step["data"]) or Data(),
            image_counts=step["pictures"],
            replay=_data(step.get("replay")),
            augmentation=step.get("augmentation"),
            settings={key: value for key, value in step.items() if key not in named},
        )
        for step in stated
    )
