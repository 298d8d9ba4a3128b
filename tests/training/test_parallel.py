"""One run by two processes: the same images, the same weights but for rounding, and what goes on with what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inkdigit import runs
from inkdigit.errors import UsageError
from inkdigit.files import read_rows
from inkdigit.training import run
from inkdigit.training.network import checkpoint
from inkdigit.training.network.share import ALONE, Share
from inkdigit.training.parallel import WORKERS

from ..scale.conftest import local_ray
from .conftest import stop_at, tiny

__all__ = ["local_ray"]


def weights_of(folder: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return {name: value for name, value in load_file(folder / checkpoint.FILE).items() if name.startswith("net/")}


@pytest.mark.parametrize(("batch", "of"), [(32, 1), (32, 2), (33, 4), (5, 5)])
def test_every_image_of_a_batch_is_in_one_share(batch, of):
    shares = [range(batch)[Share(rank, of).rows(batch)] for rank in range(of)]
    assert [i for share in shares for i in share] == list(range(batch))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert len({Share(rank, of).seed(7) for rank in range(of)}) == of
    assert ALONE.seed(7) == 7


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray", "only_training")
def test_two_workers_compute_what_one_process_does(drawn, tmp_path):
    """Without batch norm nothing but rounding differs; the batch is odd, and the images are augmented."""
    pytest.importorskip("ray")
    recipe = tiny(batch_norm=False, batch=33, epochs=2, rotate_deg=10, validation=0.25, optimizer="muon", ema_decay=0.9)
    alone = run.train(recipe, data=drawn, out=tmp_path / "alone", device="cpu")
    both = run.train(recipe, data=drawn, out=tmp_path / "both", device="cpu", engine="ray", workers=2)
    about = json.loads((both.folder / runs.ENVIRONMENT).read_text(encoding="utf-8"))
    assert (about[WORKERS], about["threads"]) == (2, 1)
    for ours, theirs in zip(read_rows(both.folder / runs.METRICS), read_rows(alone.folder / runs.METRICS), strict=True):
        for name in ("epoch", "step", "learning_rate", "train_loss", "train_accuracy", "validation_loss"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name
    ours, theirs = weights_of(both.folder), weights_of(alone.folder)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=2e-3, err_msg=name)
    assert {path.name for path in both.folder.iterdir()} == {path.name for path in alone.folder.iterdir()}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"workers": 2}, "The engine local has no workers"),
        ({"engine": "ray", "workers": 0}, r"There is no worker to train\. Expected: --workers of at least 1"),
        ({"address": "host:1"}, "The engine local has no address"),
        ({"engine": "rai", "workers": 2}, "There is no engine 'rai'"),
    ],
)
def test_options_that_do_not_go_together_are_one_error(drawn, tmp_path, options, text):
    if options.get("engine") == "ray":
        pytest.importorskip("ray")
    with pytest.raises(UsageError, match=text):
        run.train(tiny(), data=drawn, out=tmp_path / "out", device="cpu", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(
    ("workers", "text"),
    [
        (33, r"There are more workers than images in a batch\. Expected: at most 32\. Received: 33\."),
        (3, r"The cluster has fewer cores than workers\. Expected: at most 2\. Received: 3\."),
        (None, "It is not clear how many processes share the run"),
    ],
)
def test_a_number_of_workers_that_cannot_share_the_batch_is_one_error(drawn, tmp_path, workers, text):
    with pytest.raises(UsageError, match=text):
        run.train(tiny(), data=drawn, out=tmp_path / "out", device="cpu", engine="ray", workers=workers)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("only_training")
def test_a_run_goes_on_with_the_workers_that_it_began_with(drawn, tmp_path):
    pytest.importorskip("ray")
    with pytest.raises(KeyboardInterrupt):
        run.train(tiny(), data=drawn, out=tmp_path / "out", device="cpu", on_tick=stop_at(1))
    with pytest.raises(UsageError, match="was begun without workers"):
        run.resume(tmp_path / "out", data=drawn, engine="ray", workers=2)
    about = json.loads((tmp_path / "out" / runs.ENVIRONMENT).read_text(encoding="utf-8"))
    (tmp_path / "out" / runs.ENVIRONMENT).write_text(json.dumps({**about, WORKERS: 2}), encoding="utf-8")
    expected = r"was begun with 2 workers\. Expected: --engine ray --workers 2"
    with pytest.raises(UsageError, match=expected):
        run.resume(tmp_path / "out", data=drawn)
    with pytest.raises(UsageError, match=expected):
        run.resume(tmp_path / "out", data=drawn, engine="ray", workers=3)
