"""What was tried for the recipes, one change or a few at a time: the candidates that `speed/choose.py` trains.

In: the bundled recipes. Out: each candidate as a recipe that holds whole writers out, and its hash, by which a line of
`choices.jsonl` is known.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from benchmarks.speed.pieces import (
    ALL_CHANGES,
    AS_MICRO,
    BLOCKS_OF_THREE,
    DEPTHWISE,
    FIVE_BY_FIVE,
    FIVE_DEPTHWISE,
    FIVES,
    HALVED_FIRST,
    HALVES,
    INSIDE,
    LESS_CHANGED,
    LESS_DECAY,
    PLAIN,
    RESIDUAL,
    SEPARABLE,
    SGD,
    SHARED_MIXING,
    STEM,
    STRIDED,
    STROKES,
    THIN_START,
    TINY_BEFORE,
    UNPADDED,
    WHITENED,
    WIDE_STEM,
    activated,
    again,
    separable,
    unpadded,
)
from inkdigit.training.recipe import Recipe

LEDGER = "choices.jsonl"
SELECT = {"protocol": "select", "validation": 10_000, "min_steps": 0}
WHITENED_FIRST = "5×5 first, whitened, 24 epochs"
MOMENTS_FIVE = f"moments normalised, {WHITENED_FIRST}"
PLAIN_MEMBERS = ("as it is", WHITENED_FIRST, "residual")


@dataclass(frozen=True)
class Choice:
    """What was tried for one recipe, or for several: a start, and what is changed of it in each candidate."""

    base: str  # the bundled recipe that the start is made of
    seeds: int
    candidates: dict[str, dict[str, Any]]
    about: str = ""  # what it is, if it is not a recipe itself
    start: dict[str, Any] = field(default_factory=dict)
    together: dict[str, tuple[str, ...]] = field(default_factory=dict)  # group → candidates that it averages


AS_IT_IS: dict[str, dict[str, Any]] = {"as it is": {}}
CHOICES = {
    "fast": Choice(
        "fast",
        3,
        AS_IT_IS
        | {
            "all images": {"steps_per_epoch": 0, "prefer_hard": 0.0},
            "hard images as often as easy ones": {"prefer_hard": 0.0},
            "not whitened": {"whiten": False},
            "170 steps": {"steps_per_epoch": 170},
            "global max": {"head": "global_max"},
            "plain SGD": SGD,
            "AdamW, rate 0.01": {"optimizer": "adamw", "learning_rate": 0.01, "weight_decay": 0.01},
            "rate 0.3": {"learning_rate": 0.3},
            "warm-up of a third": {"warmup_fraction": 0.35},
            "SiLU": {"activation": "silu"},
            "filters 24-48-128": {"filters": [24, 48, 128]},
            "filters 32-48-160, 160 steps": {"filters": [32, 48, 160], "steps_per_epoch": 160},
            "filters 16-32-96, 290 steps": {"filters": [16, 32, 96], "steps_per_epoch": 290},
            "augmented": {"rotate_deg": 10.0, "zoom": 0.1, "shift_px": 2.0},
        },
    ),
    "blink": Choice(
        "blink",
        3,
        AS_IT_IS
        | {
            "all images, in batches of 256": {"batch": 256, "steps_per_epoch": 0, "prefer_hard": 0.0},
            "hard images as often as easy ones": {"prefer_hard": 0.0},
            "not whitened": {"whiten": False},
            "global max": {"head": "global_max"},
            "rate 0.3": {"learning_rate": 0.3},
            "200 steps": {"steps_per_epoch": 200},
            "warm-up of a fifth": {"warmup_fraction": 0.2},
            "filters 16-32-80": {"filters": [16, 32, 80]},
            "the filters of fast": {"filters": [32, 48, 128]},
        },
    ),
    "minute": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "plain SGD": SGD,
            "AdamW, rate 0.005": {"optimizer": "adamw", "learning_rate": 0.005, "weight_decay": 0.01},
            "no augmentation": PLAIN,
            "3 epochs": {"epochs": 3},
        },
    ),
    # It begins as `minute` does, trained longer.
    "best": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "24 epochs": {"epochs": 24},
            "elastic, 1 px": {"elastic_px": 1.0},
            "squish and shear": {"squish": 0.1, "shear": 0.15},
            "strokes thinner and thicker": {"thickness": 0.5},
            "filters 48-96-192": {"filters": [48, 96, 192]},
            "two 3×3 first": THIN_START,
            "two 3×3 first, all changes of the images, 16 epochs": {**THIN_START, **ALL_CHANGES, "epochs": 16},
            "the same, filters 32-64-128-192": {
                **THIN_START,
                **ALL_CHANGES,
                "filters": [32, 64, 128, 192],
                "epochs": 16,
            },
            "two blocks of three, 32-64, all changes, 16 epochs": {**BLOCKS_OF_THREE, **ALL_CHANGES, "epochs": 16},
            "two blocks of three, 48-96, all changes, 20 epochs": {
                **BLOCKS_OF_THREE,
                **ALL_CHANGES,
                "filters": [48, 96],
                "epochs": 20,
            },
            "one convolution more": {"convs_per_block": [1, 2, 2]},
            "dropout 0.3": {"dense_dropout": 0.3},
            "larger shifts, inside the image": {"shift_px": 4.0, "shift_inside": True},
            "one square erased": {"erase_px": 8},
            "moving average of the weights": {"ema_decay": 0.998},
            "whitening start": {"whiten": True},
            "no label smoothing": {"label_smoothing": 0.0},
            "batches of 64": {"batch": 64},
            "plain SGD": SGD,
        },
        start={"epochs": 12},
    ),
    "pictures": Choice(
        "minute",
        1,
        AS_IT_IS
        | {
            "shifts of 1 px": {"shift_px": 1.0},
            "shifts of 0.5 px": {"shift_px": 0.5},
            "shifts of 3 px, inside the image": INSIDE,
            "half the zoom and squish": {"zoom": 0.05, "squish": 0.05},
            "half as much again": {"zoom": 0.15, "squish": 0.15},
            "turned by 15°": {"rotate_deg": 15.0},
            "shear 0.25": {"shear": 0.25},
            "elastic, 0.7 px": {"elastic_px": 0.7},
            "strokes thinner and thicker": STROKES,
            "one square erased": {"erase_px": 8},
            "no label smoothing": {"label_smoothing": 0.0},
            "label smoothing 0.1": {"label_smoothing": 0.1},
            "weight decay 2e-3": {"weight_decay": 2e-3},
            "dropout 0.3": {"dense_dropout": 0.3},
            "moving average of the weights": {"ema_decay": 0.998},
            "batches of 64": {"batch": 64},
            "32 epochs": {"epochs": 32},
            "strokes, and shifts of 3 px inside": STROKES | INSIDE,
            "strokes, and shifts of 4 px inside": STROKES | INSIDE | {"shift_px": 4.0},
            "the same, and 15,000 drawn digits": STROKES | INSIDE | {"shift_px": 4.0, "drawn": 15_000},
            "strokes twice as much, and shifts of 3 px inside": INSIDE | {"thickness": 1.0},
            "strokes, shifts of 3 px inside, elastic, 0.3 px": STROKES | INSIDE | {"elastic_px": 0.3},
        },
        about="How images are changed for `best`, on a network a quarter as large",
        start={**HALVES, "filters": [16, 32, 64, 96]},
    ),
    "best-quarter": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "batches of 64": {"batch": 64},
            "32 epochs": {"epochs": 32},
            "strokes twice as much": {"thickness": 1.0},
        },
        about="How `best` is trained, on a network a quarter as large",
        start={**HALVES, "filters": [16, 32, 64, 96], **STROKES, **INSIDE, "shift_px": 4.0},
    ),
    "best-images-half": Choice(
        "best",
        2,
        AS_IT_IS | {"shifts of 2 px, strokes as they are": {"shift_px": 2.0, "shift_inside": False, "thickness": 0.0}},
        about="How images are changed for `best`, half of the writers held out",
        start={"validation": 30_000},
    ),
    "members": Choice(
        "minute",
        1,
        AS_IT_IS
        | {
            "32 epochs": {"epochs": 32},
            "5×5 first": FIVE_BY_FIVE,
            "residual": RESIDUAL,
            "two blocks of three": {**BLOCKS_OF_THREE, "filters": [48, 96]},
            "moments normalised": {"moments": True, "shift_px": 4.0},
        },
        about="Which networks predict well together, by the mean of their logits, for `ensemble`",
        start={**HALVES, "filters": [24, 48, 96, 144], **STROKES, **INSIDE},
        together={
            "the start, 5×5, residual": ("as it is", "5×5 first", "residual"),
            "the start, 5×5, residual, two blocks of three": (
                "as it is",
                "5×5 first",
                "residual",
                "two blocks of three",
            ),
            "the start, 5×5, residual, moments": ("as it is", "5×5 first", "residual", "moments normalised"),
            "32 epochs, 5×5, residual": ("32 epochs", "5×5 first", "residual"),
            "32 epochs, 5×5, residual, moments": ("32 epochs", "5×5 first", "residual", "moments normalised"),
        },
    ),
    # At most 1,000 parameters: channels are filtered each alone, or one convolution is used again and again.
    "micro": Choice(
        "tiny",
        2,
        AS_IT_IS
        | {
            "pooled twice": {"layers": separable([10, 10, 10, 10], "ccPc")},
            "five narrower ones": {"layers": separable([9, 9, 9, 8, 8], "vvvvv", "conv 6 3 valid")},
            "16 channels, the same five times": {"layers": again(WIDE_STEM, DEPTHWISE, "ccPccc")},
            "16 channels, the same seven times": {"layers": again(WIDE_STEM, DEPTHWISE, "cccPcccc")},
            "8 channels, the same 3×3 six times": {"layers": again(STEM, ["conv 8 3"], "cccPccc")},
            "leaky ReLU": {"layers": activated(SEPARABLE, "leaky_relu")},
            "SiLU": {"layers": activated(SEPARABLE, "silu")},
            "AdamW, rate 0.03": {"optimizer": "adamw", "learning_rate": 0.03, "weight_decay": 1e-4},
            "rate 0.1": {"learning_rate": 0.1},
            "rate 0.2": {"learning_rate": 0.2},
            "rate 0.8": {"learning_rate": 0.8},
            "pixels from 0 to 1": {"normalize": "unit"},
            "augmented a little": {"rotate_deg": 5.0, "zoom": 0.05, "shift_px": 0.5},
            "label smoothing 0.02": {"label_smoothing": 0.02},
            "batches of 64": {"batch": 64},
            "float32": {"precision": "float32"},
            "64 epochs": {"epochs": 64},
            "64 epochs, augmented a little": {"epochs": 64, "rotate_deg": 5.0, "zoom": 0.05, "shift_px": 0.5},
        },
        start={
            "layers": SEPARABLE,
            "normalize": "standard",
            **LESS_DECAY,
            **PLAIN,
            "epochs": 16,
        },
    ),
    "best-depthwise": Choice(
        "best",
        1,
        AS_IT_IS
        | {
            "five depthwise convolutions": {"layers": FIVE_DEPTHWISE},
            "the same, 40 epochs": {"layers": FIVE_DEPTHWISE, "epochs": 40},
            "four wider depthwise convolutions": {"layers": separable([96, 128, 160, 192], "vvvv", "conv 48 3 valid")},
            "six depthwise convolutions": {
                "layers": separable([96, 96, 96, 128, 128, 160], "vvvvvv", "conv 32 3 valid")
            },
            "5×5 first, no padding, 24 epochs": {**FIVE_BY_FIVE, "padding": ["valid"] * 3, "epochs": 24},
        },
        about="Quicker networks for `best`",
    ),
    "best-depthwise-half": Choice(
        "best",
        2,
        AS_IT_IS
        | {
            "five depthwise convolutions": {"layers": FIVE_DEPTHWISE},
            "the same, 24 epochs": {"layers": FIVE_DEPTHWISE, "epochs": 24},
            "the same, weight decay 2e-3": {"layers": FIVE_DEPTHWISE, "weight_decay": 2e-3},
            "the same, SiLU": {"layers": activated(FIVE_DEPTHWISE, "silu")},
            "five depthwise convolutions of 64 to 192 filters": {
                "layers": separable([64, 96, 128, 160, 192], "vvvvv", "conv 32 3 valid")
            },
            "5×5 first": FIVE_BY_FIVE,
            "5×5 first, 24 epochs": {**FIVE_BY_FIVE, "epochs": 24},
            "5×5 first, 32 epochs": {**FIVE_BY_FIVE, "epochs": 32},
            "5×5 first, whitened": {**FIVE_BY_FIVE, "whiten": True},
            "5×5 first, batches of 64": {**FIVE_BY_FIVE, "batch": 64},
            "5×5 first, strokes twice as much": {**FIVE_BY_FIVE, "thickness": 1.0},
            "5×5 first, filters 48-96-256": {**FIVE_BY_FIVE, "filters": [48, 96, 256]},
            "5×5 first, moving average of the weights": {**FIVE_BY_FIVE, "ema_decay": 0.998},
        },
        about="The same, half of the writers held out",
        start={"validation": 30_000, "epochs": 16},
    ),
    "best-5x5-half": Choice(
        "best",
        4,
        AS_IT_IS
        | {
            WHITENED_FIRST: WHITENED,
            "the same, strokes twice as much": {**WHITENED, "thickness": 1.0},
            "the same, and filters 48-112-224": {**WHITENED, "thickness": 1.0, "filters": [48, 112, 224]},
            "the same, 32 epochs": {**WHITENED, "thickness": 1.0, "filters": [48, 112, 224], "epochs": 32},
        },
        about="A network for `best` that predicts in half of the time, half of the writers held out",
        start={"validation": 30_000},
    ),
    "ensemble-half": Choice(
        "best",
        2,
        AS_IT_IS
        | {
            "unpadded, the first convolution and average pooling": UNPADDED,
            "unpadded, the first convolution 5×5 with stride": {"layers": unpadded(STRIDED, [48, 64, 96, 128, 160])},
            "residual": {**RESIDUAL, "epochs": 16},
            "five depthwise convolutions, 24 epochs": {"layers": FIVE_DEPTHWISE, "epochs": 24},
            "moments normalised": {"moments": True, "filters": [24, 48, 96, 144], "epochs": 16},
            WHITENED_FIRST: WHITENED,
            "moments normalised, unpadded, the first convolution and average pooling": {**UNPADDED, "moments": True},
            "moments normalised, residual": {**RESIDUAL, "moments": True, "epochs": 16},
            MOMENTS_FIVE: {**WHITENED, "moments": True},
        },
        about="The same with today's `best`",
        start={"validation": 30_000},
        together={
            "the start, 5×5, residual": PLAIN_MEMBERS,
            "the start, 5×5, residual, moments": (*PLAIN_MEMBERS, "moments normalised"),
            "the start, 5×5, residual, moments 5×5": (*PLAIN_MEMBERS, MOMENTS_FIVE),
            "the start, 5×5, residual, moments, moments 5×5": (*PLAIN_MEMBERS, "moments normalised", MOMENTS_FIVE),
            "the same and the unpadded ones": (
                *PLAIN_MEMBERS,
                "moments normalised",
                MOMENTS_FIVE,
                "unpadded, the first convolution and average pooling",
                "unpadded, the first convolution 5×5 with stride",
                "moments normalised, unpadded, the first convolution and average pooling",
            ),
        },
    ),
    "tiny": Choice(
        "minute",
        2,
        AS_IT_IS
        | {
            "5×5 first, in a quarter of the time": HALVED_FIRST,
            "5×5 first, 64 epochs": {**HALVED_FIRST, "epochs": 64},
            "two blocks of three, no padding": {**BLOCKS_OF_THREE, "filters": [10, 18]},
            "five convolutions of 16 filters": FIVES,
            "five convolutions of 16 filters, 40 epochs": {**FIVES, "epochs": 40},
            "no augmentation": PLAIN,
            "average pooling": {"pooling": ["average", "average", "none"]},
            "global max": {"head": "global_max"},
            "plain SGD": SGD,
            "weight decay 2e-3": {"weight_decay": 2e-3},
            "weight decay 1e-4": {"weight_decay": 1e-4},
            "batches of 64": {"batch": 64},
            "SiLU": {"activation": "silu"},
            "40 epochs": {"epochs": 40},
            "label smoothing 0.05": {"label_smoothing": 0.05},
        },
        start={
            "filters": [10, 18, 24],
            "kernel": 3,
            "convs_per_block": [2, 2, 1],
            "pooling": ["max", "max", "none"],
            "padding": ["same", "same", "valid"],
            "label_smoothing": 0.0,
            "weight_decay": 5e-4,
            "rotate_deg": 8.0,
            "zoom": 0.08,
            "shift_px": 1.5,
            "epochs": 16,
        },
    ),
    "tiny-depthwise": Choice(
        "tiny",
        2,
        AS_IT_IS
        | {
            "what `tiny` was, full convolutions": TINY_BEFORE,
            "rate 0.4, little decay, no smoothing, images changed less": {**LESS_DECAY, **LESS_CHANGED},
            "rate 0.4, little decay, images changed less": {**LESS_DECAY, **LESS_CHANGED, "label_smoothing": 0.05},
            "rate 0.4, little decay, no smoothing": LESS_DECAY,
            "rate 0.4, little decay": {**LESS_DECAY, "label_smoothing": 0.05},
            "trained as `micro` is": AS_MICRO,
            "no smoothing, images changed less": {**LESS_CHANGED, "label_smoothing": 0.0},
            "rate 0.4, little decay, no smoothing, five of 40 channels": {
                **LESS_DECAY,
                "layers": separable([40] * 5, "vvvvv", "conv 16 3 valid"),
            },
            "rate 0.4, little decay, no smoothing, six of 32 channels": {
                **LESS_DECAY,
                "layers": separable([32, 32, 32, 32, 32, 48], "vvvvvv", "conv 16 3 valid"),
            },
        },
        about="`tiny` of depthwise convolutions",
    ),
    "tiny-depthwise-half": Choice(
        "tiny",
        2,
        AS_IT_IS
        | {
            "what `tiny` was, full convolutions": TINY_BEFORE,
            "smoothing 0.1": {"label_smoothing": 0.1},
            "weight decay 2e-3": {"weight_decay": 2e-3},
            "rate 0.4, little decay, no smoothing": LESS_DECAY,
            "rate 0.4, little decay, no smoothing, images changed less": {**LESS_DECAY, **LESS_CHANGED},
            "rate 0.4, little decay, no smoothing, 64 channels mixed three times by the same weights": {
                **LESS_DECAY,
                "layers": SHARED_MIXING,
            },
            "rate 0.4, little decay, no smoothing, SiLU": {
                **LESS_DECAY,
                "layers": activated(Recipe.load("tiny").layers, "silu"),
            },
        },
        about="The same, half of the writers held out",
        start={"validation": 30_000},
    ),
}


def candidate(name: str, what: str) -> Recipe:
    """A candidate as it is trained, without its seed."""
    choice = CHOICES[name]
    return Recipe.load(choice.base, {**SELECT, **choice.start, **choice.candidates[what]})


def groups(name: str) -> dict[str, str]:
    """Company → the hash of its candidates' hashes."""
    return {
        group: hashlib.sha256(" ".join(candidate(name, what).sha256 for what in members).encode()).hexdigest()
        for group, members in CHOICES[name].together.items()
    }


def hashes() -> dict[str, dict[str, str]]:
    """Recipe → candidate or group → its hash as it is now."""
    return {
        name: {what: candidate(name, what).sha256 for what in choice.candidates} | groups(name)
        for name, choice in CHOICES.items()
    }
