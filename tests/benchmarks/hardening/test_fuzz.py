"""The fuzzer: what it calls a fault, and a short run of it over every kind of input."""

from __future__ import annotations

import gc
import json
import logging
import subprocess
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.common import machine
from benchmarks.hardening import fuzz, fuzz_mutate
from inkdigit.errors import UsageError

TRAINING = {"checkpoints", "run directories"}  # inputs that are trained on: seconds each


def outcome_of(call) -> dict:
    return fuzz.attempt(lambda _: call, Random(0))


def test_an_answer_an_error_of_ours_and_faults(monkeypatch):
    monkeypatch.setattr(fuzz, "_peak_mb", lambda: 100.0)  # not what the tests before needed

    def divide() -> float:
        return 1 / 0

    def refuse() -> None:
        raise UsageError("No", hint="Try again.")

    row = fuzz.Row()
    for call in (lambda: 1, refuse, divide, lambda: (_ for _ in ()).throw(AssertionError("no")), refuse):
        row.add(outcome_of(call))
    row.add({"case": 5, "outcome": "hang"})
    row.add({"case": 6, "outcome": "killed"})
    row.add({"case": 7, "outcome": "answered", "seconds": fuzz.MAX_SECONDS + 1, "mb": fuzz.MAX_MB + 1})
    counted = row.to_json()
    assert (counted["n"], counted["answered"], counted["refused"]) == (8, 2, 2)
    assert [counted[name] for name in ("traceback", "hang", "killed", "large", "slow")] == [2, 1, 1, 1, 1]
    assert counted["errors"] == {"UsageError": 2}
    assert sorted(fault["fault"] for fault in row.faults) == [
        "hang",
        "killed",
        "large",
        "slow",
        "traceback",
        "traceback",
    ]


def test_what_costs_time_or_memory_is_seen():
    held = []
    assert outcome_of(lambda: sum(range(3_000_000)))["seconds"] > 0.005
    before = outcome_of(lambda: None)["mb"]
    assert outcome_of(lambda: held.append(bytearray(b"x") * 200_000_000))["mb"] > before + 150


def test_an_input_is_the_same_for_the_same_seed():
    for mutate, good in ((fuzz_mutate.mutate_bytes, b"some bytes"), (fuzz_mutate.mutate_text, "a = 1\nb = 2\n")):
        assert mutate(Random("7"), good) == mutate(Random("7"), good)
        assert len({mutate(Random(i), good) for i in range(50)}) > 30


@given(st.integers(0, 10**6), st.binary(max_size=50))
def test_bytes_can_be_changed_whatever_they_are(seed, data):
    assert isinstance(fuzz_mutate.mutate_bytes(Random(seed), data, others=[b"other", b""]), bytes)
    assert isinstance(fuzz_mutate.mutate_text(Random(seed), data.decode("latin-1")), bytes)


def test_every_kind_has_its_share():
    counts = fuzz.shares(10_000, fuzz.KINDS)
    assert abs(sum(counts.values()) - 10_000) < len(counts)
    assert min(counts.values()) > 100


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # what a refused input left open
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.slow] * (kind in TRAINING)) for kind in fuzz.KINDS]
)
def test_some_inputs_of_each_kind_without_a_fault(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.root.manager, "disable", 0)  # the service is fuzzed without its log: only here
    make = fuzz.KINDS[kind].prepare(tmp_path)
    row = fuzz.Row()
    for case in range(2):
        row.add({"case": case, **fuzz.attempt(make, Random(f"{kind} {case}"))})
    del make
    gc.collect()  # an event loop that nothing closes is garbage of this test, and of no other
    assert [
        fault for fault in row.faults if fault["fault"] not in {"large", "slow"}
    ] == []  # measured in a process alone


@pytest.mark.timeout(280)
def test_a_kind_has_a_process_and_a_time(tmp_path):
    command = machine.script("hardening.fuzz", "--smoke", "--seconds=1", "--only", next(iter(fuzz.KINDS)))
    done = subprocess.run(
        command, cwd=tmp_path, env=machine.environment(), capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["n"] >= 1
