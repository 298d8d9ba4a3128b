"""The environment of a run in env.json, and the provenance on a card."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import torch

from inkdigit.model.provenance import MNIST_SHA256
from inkdigit.training import environment
from inkdigit.types import Dataset

from .conftest import CLASSES, CPU, draw, tiny


@pytest.fixture(scope="module")
def about(drawn):
    return environment.describe(drawn, source="/somewhere/drawn.npz", device=CPU)


def test_a_reader_learns_what_is_needed_to_repeat_the_run(about, drawn):
    json.dumps(about, allow_nan=False)
    assert about["device"] == "cpu"
    assert about["threads"] >= 1
    assert about["processor"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", about["started"])
    assert about["libraries"]["torch"].startswith(torch.__version__.partition("+")[0])
    assert set(about["libraries"]) == set(environment.LIBRARIES)
    assert about["data"] == {
        "source": "/somewhere/drawn.npz",
        "name": "drawn",
        "sha256": drawn.sha256,
        "train": 120,
        "test": 40,
    }


def test_a_library_that_is_not_installed_has_no_version():
    assert environment.versions(["no-such-library"]) == {"no-such-library": None}


def test_without_git_there_is_no_commit(monkeypatch, drawn):
    monkeypatch.setenv("PATH", "")
    assert environment.describe(drawn, source="", device=CPU)["commit"] is None


def test_if_git_does_not_answer_there_is_no_commit(monkeypatch, drawn):
    def fail(*_, **__):
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(environment.subprocess, "run", fail)
    assert environment.describe(drawn, source="", device=CPU)["commit"] is None


def test_the_card_does_not_name_the_folder_of_the_data(about, drawn):
    card_provenance = environment.provenance(tiny(seed=4), drawn, about)
    assert card_provenance.data.licence is None
    assert (card_provenance.seed, card_provenance.saw_mnist) == (4, False)
    assert card_provenance.recipe_sha256 == tiny().sha256
    assert "/somewhere" not in json.dumps(card_provenance.to_json())


def test_the_card_states_what_was_drawn(about, drawn):
    def text(**fields: float) -> str:
        return environment.provenance(tiny(**fields), drawn, about).drawn

    assert text() == ""
    assert text(stressed=1.0, drawn=20_000) == "a stressed copy of each image, 20,000 digits"
    assert text(stressed=0.5, outliers=9) == "0.5 stressed copies of each image, 9 images of no digit or of several"


def test_the_card_states_that_mnist_was_seen_by_its_name_or_its_images(about):
    by_name = Dataset("mnist", CLASSES, draw(3))
    card_provenance = environment.provenance(tiny(), by_name, about)
    assert card_provenance.saw_mnist
    assert card_provenance.data.licence == environment.LICENCES["mnist"]
    renamed = Dataset("my-folder", CLASSES, draw(3))
    assert not environment.provenance(tiny(), renamed, about).saw_mnist
    vars(renamed)["sha256"] = MNIST_SHA256  # it is computed once, and stored here
    assert environment.provenance(tiny(), renamed, about).saw_mnist
