"""The card of a model in words: what `inkdigit info` prints and a notebook shows.

In: a card. Out: names and texts, one a line.
"""

from __future__ import annotations

from typing import Any

from inkdigit.model.card import Calibration, Card, Ink
from inkdigit.model.provenance import Data, Provenance
from inkdigit.model.schema import LINE

MAX_CLASSES = 20  # that are named


def facts(card: Card) -> dict[str, str]:
    """What the model is and how it was made, but for its name."""
    data = card.provenance.data or Data()
    return {
        "reads": "whole numbers" if card.task == LINE else "single digits",
        "classes": f"{len(card.classes)}: {' '.join(card.classes[:MAX_CLASSES])}"
        + (" …" if len(card.classes) > MAX_CLASSES else ""),
        "parameters": f"{card.parameters:,}",
        **_own(card.provenance),
        "prepare": f"{card.prepare}, version {card.prepare_version}",
        **({"ink network": _ink(card.ink)} if card.ink is not None or card.prepare == "ink" else {}),
        "measured": _measured(card.figures),
        "temperature": f"{card.calibration.temperature:g}, fitted on {card.calibration.fitted_on}",
        "answers when": _accepts(card.calibration, "confidence" if card.task == LINE else "score"),
        **({"refuses": ", ".join(card.outliers)} if card.outliers else {}),
        **_members(card.provenance),
        "trained on": trained_on(card.provenance),
        **_adapted(card.provenance),
        **({"drawn for it": card.provenance.drawn} if card.provenance.drawn else {}),
        "licence": data.licence or "unknown",
        "created": card.provenance.created or "unknown",
        "self test": f"{len(card.self_test.images)} images, passed",
    }


def _accepts(calibration: Calibration, what: str) -> str:
    """The condition for an answer; `what` is compared to the threshold of the card."""
    conditions = []
    if calibration.accept_score is not None:
        conditions.append(f"the {what} is at least {calibration.accept_score:g}")
    if calibration.min_confidence:
        conditions.append(f"the confidence is at least {calibration.min_confidence:g}")
    return " and ".join(conditions) or "always"


def _ink(trained_with: Ink | None) -> str:
    """The network that finds the ink of photos: that of this release, and that of the model if it is another."""
    installed = Ink.installed()
    if trained_with == installed:
        return f"version {installed}"
    before = f"version {trained_with}" if trained_with else "none: rules found the ink"
    return f"version {installed}; the model was trained with {before}"


def _own(provenance: Provenance) -> dict[str, str]:
    """The networks that are the user's own, of the model or of its members."""
    recipes = provenance.recipe_fields() or []
    own = [fields for fields in recipes if fields.get("net") == "external"]
    names = (f"{fields.get('net_source')} (SHA-256 {str(fields.get('net_sha256'))[:12]})" for fields in own)
    return {"network": f"external: {', '.join(dict.fromkeys(names))}"} if own else {}


def _members(provenance: Provenance) -> dict[str, str]:
    """The members of an ensemble."""
    if not provenance.members:
        return {}
    names = ", ".join(f"{member.name} (seed {member.seed})" for member in provenance.members)
    return {"members": names, "views": str(provenance.views)}


def trained_on(provenance: Provenance) -> str:
    """How many images of which data trained a model; an older card does not say how many of them were held out."""
    data = provenance.data or Data()
    if data.name is None or data.train is None:
        return data.name or "unknown"
    its = "images" if data.test is None else "training images"
    if data.trained is not None:
        return f"{data.name}, {data.trained:,} of its {data.train:,} {its}"
    return f"{data.name}, {data.train:,} {its}{', less those held out' if _held_out(provenance, data) else ''}"


def _held_out(provenance: Provenance, data: Data) -> bool:
    """Whether the recipe of the model, or of a member, holds some of the images of its data out."""
    recipes = provenance.recipe_fields() or []
    return any(
        fields.get("protocol") != "all"
        and (fields.get("protocol") == "select" or fields.get("validation") or data.test is None)
        for fields in recipes
    )


def _adapted(provenance: Provenance) -> dict[str, str]:
    """Which images it, or members of it, were adapted to, the latest last."""
    steps = provenance.every_adaptation
    texts = [f"{step.data.name}, {sum(step.image_counts.values())} images" for step in steps]
    return {"adapted to": "; ".join(texts)} if texts else {}


def _measured(figures: dict[str, Any]) -> str:
    if not figures:
        return "not measured"
    low, high = figures["accuracy_ci95"]
    return (
        f"{100 * figures['accuracy']:.2f} % on {figures['data']} ({figures['part']}, {figures['n']:,} images, "
        f"95 % interval {100 * low:.2f}–{100 * high:.2f})"
    )
