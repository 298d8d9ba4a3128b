"""What a resumed run still lacks if `inkdigit kaggle` began it: its submission.

In: the words of the command that began the run, from its env.json. Out: the command that writes the submission.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import typer

KAGGLE = "kaggle"


def submission_step(argv: Sequence[str], run: Path, *, kaggle: Callable[..., None]) -> list[str] | None:
    """The command that writes the submission of `kaggle`; None for a run that another command began."""
    words = [str(word) for word in argv[1:]]
    command = next((i for i, word in enumerate(words) if not word.startswith("-")), None)  # after options of the root
    if command is None or words[command] != KAGGLE:
        return None
    app = typer.Typer(add_completion=False)
    app.command()(kaggle)
    # Resilient: what another release wrote may have other options.
    parsed = typer.main.get_command(app).make_context(KAGGLE, words[command + 1 :], resilient_parsing=True)
    test_csv, out = parsed.params.get("test_csv"), parsed.params.get("out")
    if test_csv is None:
        return None
    return ["inkdigit", "submit", str(test_csv), "--model", str(run), *(["--out", str(out)] if out else [])]
