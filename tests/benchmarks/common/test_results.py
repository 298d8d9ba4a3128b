from __future__ import annotations

import json
import threading
from operator import itemgetter

from benchmarks.common import results, runs


def test_a_smoke_run_counts_as_not_measured(tmp_path):
    path = tmp_path / "a.json"
    assert results.read(path) is None
    for smoke, seen in ((True, None), (False, {"smoke": False, "n": 1})):
        results.write(path, {"smoke": smoke, "n": 1})
        assert results.read(path) == seen


def test_a_ledger_grows_by_a_line_and_the_last_line_of_a_key_counts(tmp_path):
    ledger = tmp_path / "new" / "a.jsonl"
    assert results.read_lines(ledger) == []
    lines = [{"smoke": False, "seed": seed, "n": n} for seed, n in ((1, 1), (0, 2), (1, 3))]
    for line in [*lines, {"smoke": True, "seed": 0, "n": 4}]:
        results.append(ledger, line)
    assert results.read_lines(ledger)[:3] == lines
    newest = results.latest(results.read_lines(ledger), itemgetter("seed"))
    assert [(seed, line["n"]) for seed, line in newest.items()] == [(1, 3), (0, 2)]


def test_a_stamp_tells_machine_versions_and_command():
    stamp = results.stamp(("numpy", "no-such-library"), smoke=True, command="python -m x")
    assert (stamp["smoke"], stamp["command"]) == (True, "python -m x")
    assert stamp["versions"].keys() == {"python", "numpy", "no-such-library"}
    assert stamp["versions"]["no-such-library"] is None
    assert stamp["machine"]["cores"] >= 1
    assert json.loads(json.dumps(stamp)) == stamp
    assert "command" not in results.stamp(())


def test_a_summary_is_median_minimum_and_maximum():
    assert results.summary([3.0, 1.004, 9.0], 2) == {"median": 3.0, "min": 1.0, "max": 9.0}


def test_openings_are_added_once(tmp_path):
    logged, log = tmp_path / "run.csv", tmp_path / "all.csv"
    runs.add_openings(logged, log)
    assert not log.exists()
    logged.write_text("date,seed\nmonday,0\n", encoding="utf-8")
    runs.add_openings(logged, log)
    logged.write_text("date,seed\nmonday,0\ntuesday,1\n", encoding="utf-8")
    runs.add_openings(logged, log)
    assert log.read_text(encoding="utf-8") == "date,seed\nmonday,0\ntuesday,1\n"


def test_what_one_holds_another_waits_for(tmp_path):
    done = threading.Event()

    def other() -> None:
        with results.locked(tmp_path / "folder" / "lock"):
            done.set()

    thread = threading.Thread(target=other)
    with results.locked(tmp_path / "folder" / "lock"):
        thread.start()
        assert not done.wait(0.1)
    assert done.wait(5)
    thread.join()
