"""`inkdigit compare`: the table of all runs, or some of them side by side with tests and curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.errors import UsageError
from inkdigit.report import numbers

if TYPE_CHECKING:
    from inkdigit.measure.compare import Comparison, Paired
    from inkdigit.measure.ledger import Entry, Group

HEADER = ("run", "recipe", "data", "part", "seed", "accuracy", "95 % interval", "parameters", "time", "state")
TESTS = ("run", "points", "only it is right", "only the first is", "p", "p, Holm", "")


def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RUN…]", help="Two or more runs, or two folders of seeds; without any, all runs."),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Also write a page with the curves.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show two or more runs side by side and test whether one is more accurate; without RUN, list all in runs/.

    Example: inkdigit compare fast-s0 classic-s0 --out compared.html
    """
    if out is not None and not runs:
        raise UsageError("A page needs the names of the runs", expected="two or more RUNs with --out")
    with talk.interruptible():
        if runs:
            _compare(runs, out, as_json=as_json)
        else:
            _list(as_json=as_json)


def _list(*, as_json: bool) -> None:
    from inkdigit.measure.ledger import group as group_runs
    from inkdigit.measure.ledger import list_runs
    from inkdigit.runs import ROOT

    entries = list_runs()
    groups = group_runs(entries)
    if as_json:
        listed = {"runs": [entry.to_json() for entry in entries], "groups": [group.to_json() for group in groups]}
        talk.say(json.dumps(listed, ensure_ascii=False))
        return
    if not entries:
        talk.note(f"There are no runs in {ROOT}/ yet.")
        talk.next_steps(["inkdigit", "train", "fast"])
        return
    _print_runs(entries)
    _print_groups(groups)
    if len(finished := [entry.name for entry in entries if entry.state == "finished"]) > 1:
        talk.next_steps(["inkdigit", "compare", *finished[-2:], "--out", "compared.html"])


def _compare(names: Sequence[str], out: Path | None, *, as_json: bool) -> None:
    from inkdigit.measure.compare import Paired
    from inkdigit.report.compare import compare as compare_runs

    compared = compare_runs(names, out=out)
    if isinstance(compared, Paired):
        _print_pairs(compared, as_json=as_json)
        return
    if as_json:
        talk.say(json.dumps(compared.to_json(), ensure_ascii=False))
    else:
        _print_runs(compared.entries)
        _print_tests(compared)
        _print_groups(compared.groups)
    if out is not None:
        talk.note(f"Page written to {out}")


def _print_pairs(paired: Paired, *, as_json: bool) -> None:
    from inkdigit.report.compare import sentences, table

    if as_json:
        talk.say(json.dumps({"paired": paired.to_json()}, ensure_ascii=False))
        return
    talk.table(table(paired), left=1)
    talk.say()
    for sentence in sentences(paired):
        talk.say(sentence)


def _print_runs(entries: Sequence[Entry]) -> None:
    talk.table([HEADER, *map(_cells, entries)], left=4)


def _cells(entry: Entry) -> tuple[str, ...]:
    report = entry.report
    about = (entry.name, entry.recipe_name, entry.data, entry.part, "–" if entry.seed is None else str(entry.seed))
    if not report:
        return (*about, "–", "–", "–", "–", entry.state)
    return (
        *about,
        talk.percent(report["accuracy"]),
        numbers.percent_range(report["accuracy_ci95"]),
        "–" if entry.parameters is None else f"{entry.parameters:,}",
        numbers.duration(report.get("train_seconds") or 0.0),
        entry.state,
    )


def _print_tests(comparison: Comparison) -> None:
    first = comparison.entries[0].name
    if tests := comparison.tests:
        talk.say(f"\nAgainst {first} on the same {tests[0].n:,} images (McNemar, exact, two-sided)")
        rows = [
            (
                test.run,
                f"{100 * test.difference:+.2f}",
                f"{test.only_run:,}",
                f"{test.only_against:,}",
                f"{test.p:.3g}",
                f"{test.p_holm:.3g}",
                test.verdict,
            )
            for test in tests
        ]
        talk.table([TESTS, *rows], left=1)
    if comparison.untested:
        talk.say()
    for name, reason in comparison.untested.items():
        talk.say(f"No test of {name}: {reason}.")


def _print_groups(groups: Sequence[Group]) -> None:
    if groups:
        talk.say("\nMean ± standard deviation of runs that differ only in their random seed")
    for group in groups:
        seeds = ", ".join(map(str, group.seeds))
        talk.say(
            f"{group.recipe} on {group.data} ({group.part})  {numbers.mean_sd(group.mean, group.sd)} %  "
            f"{len(group.seeds)} runs, seeds {seeds}"
        )
