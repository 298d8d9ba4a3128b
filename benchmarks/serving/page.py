"""Write `docs/serving.md`: how to serve, from `page.md.j2` and the code; and the measurements.

In: `results/serving.jsonl` and `results/abuse.json`, whichever are there; a smoke run counts as not measured. Out: the
page; with `--check` nothing is written, and the exit code is 1 if it is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine, pages, results
from benchmarks.common.results import Record
from benchmarks.common.tables import MET, NOT_MEASURED, figure, machine_line, row, spread, table
from benchmarks.serving import abuse
from benchmarks.serving import measure as serving
from inkdigit.errors import InkdigitError, ModelFileError, Unreachable
from inkdigit.picture.decode import MAX_PIXELS as JPEG_PIXELS
from inkdigit.report.numbers import byte_count
from inkdigit.serve.http.connection import HEADER_BYTES
from inkdigit.serve.http.guard import OPEN, OPEN_BELOW
from inkdigit.serve.service import BODIES, MAX_PIXELS, MAX_PIXELS_TOGETHER
from inkdigit.serve.settings import Settings

PAGE = machine.ROOT / "docs" / "serving.md"
LOAD, ABUSE = "python -m benchmarks.serving.measure", "python -m benchmarks.serving.abuse"
SHOWN = {"digit": "28×28 PNG", "photo": "photo of 2 megapixels"}
MIN_PER_S = {"digit": 600, "photo": 20}
MAX_P99_MS = 120
MAX_START_S = 1.5
MAX_ANSWER_MS = 150
MAX_GROWTH_MB = 50
MAX_REFUSAL_MS = 1000
MAX_RECOVERY_S = 1.0
MIN_REQUESTS = 5000
Cases = Mapping[tuple[str, int], Record]  # case and workers → its latest measurement


def read_cases(folder: Path) -> Cases:
    """The latest measurement of each case."""
    return results.latest(results.read_lines(folder / serving.LEDGER), lambda line: (line["case"], line["workers"]))


def render(cases: Cases, abused: Record | None) -> str:
    """The page."""
    return pages.render(
        "serving/page.md.j2",
        {
            "open": open_paths(),
            "limits": limits(),
            "errors": errors(),
            "load": load_part(cases),
            "abuse": abused and abuse_part(abused),
        },
    )


def open_paths() -> str:
    """What is answered without a token."""
    return ", ".join(f"`{path}`" for path in [*sorted(OPEN), *(f"{path}…" for path in sorted(OPEN_BELOW))])


def limits() -> str:
    """What a request may be, by the code."""
    usual = Settings()
    bodies = f"{BODIES} × `--max-bytes`"
    rows = [
        row("bytes of a request", byte_count(usual.max_bytes), "`--max-bytes`", 413),
        row("pixels of an image; of a baseline JPEG", f"{MAX_PIXELS:,}; {JPEG_PIXELS:,}", "–", 413),
        row("images of a request", usual.max_files, "–", 413),
        row("pixels of the images of a request together", f"{MAX_PIXELS_TOGETHER:,}", "–", 413),
        row("bytes of its headers", f"{HEADER_BYTES:,}", "–", 400),
        row("seconds for a request to come, and for its answer", f"{usual.time_limit_s:g}", "`--time-limit`", 408),
        row("bytes of all requests together, in each process", byte_count(BODIES * usual.max_bytes), bodies, 503),
        row("requests that wait, in each process", usual.queue, "`--queue`", 503),
    ]
    return table(["limit", "at most", "option", "beyond it"], rows)


def errors() -> str:
    """The statuses, by the tree of errors."""
    kinds = sorted(_kinds(), key=lambda kind: (kind.http_status, kind.__name__))
    return table(
        ["status", "kind", "when"], [row(kind.http_status, f"`{kind.__name__}`", _when(kind)) for kind in kinds]
    )


def _kinds(below: type[InkdigitError] = InkdigitError) -> Iterator[type[InkdigitError]]:
    """The errors that a request can meet: those with a status of their own, without the client's own."""
    for kind in below.__subclasses__():
        if kind.http_status != InkdigitError.http_status and kind not in (Unreachable, ModelFileError):
            yield kind
        yield from () if kind is ModelFileError else _kinds(kind)


def _when(kind: type[InkdigitError]) -> str:
    first = (kind.__doc__ or "").split("\n\n")[0].rstrip(".")
    return " ".join(first.split()).replace("|", "\\|")


def load_part(cases: Cases) -> dict[str, Any]:
    """How many requests are answered, how it is with too many, how soon it starts."""
    steady = {key: line for key, line in cases.items() if key[0] in SHOWN}
    crowds = {key: line for key, line in cases.items() if key[0].endswith("overload")}
    return {
        "measured": bool(cases),
        "bars": table(["figure", "bar", "measured", "met", "n"], bars(cases)),
        "steady": steady and _steady(steady),
        "crowd": crowds and {"connections": next(iter(crowds.values()))["connections"], "table": crowd_table(crowds)},
        "machines": dict.fromkeys(machine_line(f"`{LOAD}`", line) for line in cases.values()),
    }


def _steady(lines: Cases) -> dict[str, Any]:
    photos = [line["bytes"] for (case, _), line in lines.items() if case == "photo"] or [0]
    seconds = next(iter(lines.values()))["seconds"]
    return {"seconds": f"{seconds:g}", "size": byte_count(photos[0]), "table": steady_table(lines)}


def bars(cases: Cases) -> list[str]:
    """The bars of one process, and what was measured."""
    rows = []
    for name, shown in SHOWN.items():
        line = cases.get((name, 1))
        rows.append(_bar(f"{shown}, requests/s", f"≥ {MIN_PER_S[name]}", line, "per_s", lower=MIN_PER_S[name]))
        if name == "digit":
            rows.append(_bar(f"{shown}, p99", f"≤ {MAX_P99_MS} ms", line, "p99_ms", upper=MAX_P99_MS))
        rows.append(_bar(f"{shown}, failures", "0", line, "failures", upper=0))
    for name, shown in SHOWN.items():
        rows += _crowd_bars(f"four times too many, {shown}", cases.get((f"{name} overload", 1)))
    return [*rows, _start_bar(cases.get(("start", 1))), *_page_bars(cases.get(("page", 1)))]


def _start_bar(line: Record | None) -> str:
    what = ("start to ready", f"≤ {MAX_START_S} s")
    if line is None:
        return row(*what, NOT_MEASURED, "–", "–")
    took = line["start_s"]
    return row(*what, spread(took, "s", 2), MET[took["median"] <= MAX_START_S], line["n"])


def _page_bars(line: Record | None) -> list[str]:
    soon = ("page: the prediction after the last stroke ends, median; 95 % of them", f"≤ {MAX_ANSWER_MS} ms")
    right = ("page: digits drawn by the script and predicted correctly", "all")
    if line is None:
        return [row(*what, NOT_MEASURED, "–", "–") for what in (soon, right)]
    took, n = line["answer_ms"], line["n"]
    measured = f"{spread(took, 'ms', 0)}; {took['p95']:.0f} ms"
    return [
        row(*soon, measured, MET[took["p95"] <= MAX_ANSWER_MS], n),
        row(*right, line["right"], MET[line["right"] == n], n),
    ]


def _bar(what: str, bar: str, line: Record | None, key: str, *, lower: float = 0.0, upper: float = float("inf")) -> str:
    value = None if line is None else line[key]
    if line is None or value is None:
        return row(what, bar, NOT_MEASURED, "–", "–")
    return row(what, bar, f"{value:,}", MET[lower <= value <= upper], f"{line['n']:,}")


def _crowd_bars(what: str, line: Record | None) -> list[str]:
    limits = (
        ("every answer right, still there", "yes"),
        ("memory grows by", f"< {MAX_GROWTH_MB} MB"),
        ("slowest 503, all with Retry-After", f"≤ {MAX_REFUSAL_MS:,} ms"),
        ("first answer afterwards", f"≤ {MAX_RECOVERY_S:g} s"),
    )
    if line is None:
        return [row(f"{what}: {figure}", bar, NOT_MEASURED, "–", "–") for figure, bar in limits]
    crowd, grown = line["crowd"], line["rss_most_mb"] - line["rss_before_mb"]
    intact = line["alive"] and not crowd["wrong"] + crowd["cut_off"]
    slowest, bare = crowd["refused_max_ms"] or 0.0, crowd["refused_without_retry_after"]
    refusals = f"{slowest:,.0f} ms, {bare} without" if crowd["refused"] else "none was refused"
    sent = crowd["answered"] + crowd["refused"] + crowd["wrong"] + crowd["cut_off"]
    measured = (
        ("yes" if intact else "no", intact, sent),
        (f"{grown:.1f} MB", grown < MAX_GROWTH_MB, 1),
        (refusals, slowest <= MAX_REFUSAL_MS and not bare, crowd["refused"]),
        (f"{line['first_answer_s']:.2f} s", line["first_answer_s"] <= MAX_RECOVERY_S, 1),
    )
    return [
        row(f"{what}: {figure}", bar, value, MET[met] if n else "–", f"{n:,}")
        for (figure, bar), (value, met, n) in zip(limits, measured, strict=True)
    ]


def steady_table(lines: Cases) -> str:
    """Requests and latency, by image and workers."""
    header = ["image", "workers", "connections", "requests/s", "p50", "p99", "slowest", "failures", "memory", "n"]
    rows = [
        row(
            *(SHOWN[case], workers, line["connections"], f"{line['per_s']:,}"),
            *(f"{figure(line[key])} ms" for key in ("p50_ms", "p99_ms", "max_ms")),
            *(line["failures"], f"{line['rss_most_mb']:.0f} MB", f"{line['n']:,}"),
        )
        for (case, workers), line in sorted(lines.items())
    ]
    return table(header, rows)


def crowd_table(lines: Cases) -> str:
    """Answered and refused requests of four times too many, and the figures before and after."""
    header = ["image", "workers", "offered/s", "sent", "answered", "refused", "cut off or wrong", "slowest 503"]
    header += ["slowest answer", "first answer after", "p99 before → after", "memory before → max → after"]
    rows = []
    for (case, workers), line in sorted(lines.items()):
        crowd, before, after = line["crowd"], line["before"], line["after"]
        sent = sum(crowd[key] for key in ("refused", "answered", "wrong", "cut_off", "waiting_at_the_end"))
        rss = " → ".join(f"{line[f'rss_{when}_mb']:.0f}" for when in ("before", "most", "after"))
        rows.append(
            row(
                *(SHOWN[case.removesuffix(" overload")], workers, f"{line['offered_per_s']:,.0f}", f"{sent:,}"),
                *(f"{crowd['answered']:,}", f"{crowd['refused']:,}", crowd["cut_off"] + crowd["wrong"]),
                *(f"{figure(crowd[f'{how}_max_ms'])} ms" for how in ("refused", "answered")),
                f"{line['first_answer_s']:.2f} s",
                *(f"{figure(before['p99_ms'])} → {figure(after['p99_ms'])} ms", f"{rss} MB"),
            )
        )
    return table(header, rows)


def abuse_part(record: Record) -> dict[str, Any]:
    """The statuses of each kind of malformed request, and how the service is afterwards."""
    failed = sum(kind["statuses"].get("500", 0) for kind in record["kinds"].values())
    wrong = sum(kind["wrong"] for kind in record["kinds"].values())
    well, rss = record["well_after"], record["rss_mb"]
    ready = well["ready"] and well["right"]
    memory = " → ".join(f"{rss[when]:.0f}" for when in ("before", "most", "after"))
    bars = [
        row("malformed requests", f"≥ {MIN_REQUESTS:,}", f"{record['n']:,}", MET[record["n"] >= MIN_REQUESTS]),
        row("answered with 500", 0, failed, MET[not failed]),
        row("not right", 0, wrong, MET[not wrong]),
        row("tracebacks in the log", 0, record["tracebacks_logged"], MET[not record["tracebacks_logged"]]),
        row(
            "afterwards ready, and answers correctly",
            "yes",
            f"{'yes' if ready else 'no'}, in {well['answer_s'] * 1000:,.0f} ms",
            MET[ready],
        ),
        row("memory before → max → after", "–", f"{memory} MB", "–"),
    ]
    rows = [
        row(
            name,
            f"{kind['n']:,}",
            ", ".join(f"{status} ×{n:,}" for status, n in kind["statuses"].items()),
            kind["wrong"],
        )
        for name, kind in record["kinds"].items()
    ]
    return {
        "n": f"{record['n']:,}",
        "seconds": f"{record['seconds']:,.0f}",
        "at_once": abuse.AT_ONCE,
        "bars": table(["figure", "bar", "measured", "met"], bars),
        "table": table(["kind", "n", "answers", "not right"], rows),
        "machine": machine_line(f"`{ABUSE}`", record),
    }


def files(folder: Path, page: Path) -> pages.Files:
    """The page, with what it should hold."""
    return pages.beside(page, render(read_cases(folder), results.read(folder / abuse.RESULTS)), {})


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or check it."""
    return pages.main(__doc__, PAGE, files, script="benchmarks.serving.page", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
