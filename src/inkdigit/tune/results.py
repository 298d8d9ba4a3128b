"""What a search comes to: the winner as a recipe, and all that the page shows.

In: a search, its best trial, the duel. Out: the text of `winner.toml`; a `Story` of plain values for the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inkdigit.tune import study as memory
from inkdigit.tune.comparison import Duel, spread
from inkdigit.tune.page import Story
from inkdigit.tune.plots import TrialRow
from inkdigit.tune.search import Search, start_trial
from inkdigit.tune.space import label

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from inkdigit.training.recipe import Recipe


def winner_toml(search: Search, best: FrozenTrial, duel: Duel | None) -> str:
    """The winner as a recipe that `train` takes: what was measured as a header, then every field.

    It keeps the start's protocol and validation; a calibration fitted for the start does not fit it.
    """
    header = [
        f"Trial {best.number} of a search of {len(memory.over(search.study))} trials from {search.start.name}.",
        f"On the validation part of the search: {100 * best.values[0]:.2f} % (trials saw {_cost(search)}).",
    ]
    if duel is None:
        header.append(_nothing_to_compare(search, best))
    else:
        header += [
            f"Trained in full, on {duel.pictures:,} pictures that no trial saw, {len(duel.seeds)} seeds:",
            f"{spread(duel.winner)}; the start {spread(duel.start)}.",
            duel.verdict,
        ]
    return "".join(f"# {line}\n" for line in header) + "\n" + _winner(search, best).to_toml()


def _winner(search: Search, best: FrozenTrial) -> Recipe:
    start = search.start
    if memory.START in best.user_attrs:
        return start
    about = f"{start.name}, tuned: trial {best.number} of {len(memory.over(search.study))}"
    unfitted = {"temperature": None, "accept_score": None, "calibrated_on": None}
    name = f"{start.name[:90]}-tuned"  # a name has a hundred characters at most
    return search.recipe(best.params).change({"name": name, "about": about, **unfitted})


def tell_story(search: Search, best: FrozenTrial, duel: Duel | None) -> Story:
    """All that the page shows."""
    study, start, first = search.study, search.start, start_trial(search.study)
    winner = search.recipe(best.params) if memory.START not in best.user_attrs else start
    return Story(
        name=start.name,
        data=search.pictures.duel.name,
        seed=start.seed,
        dimensions=search.space.dimensions,
        space=search.space.describe(),
        rows=[_row(trial, search) for trial in memory.over(study)],
        best=best.number,
        best_value=best.values[0],
        start_value=first.values[0] if first else None,
        importances=memory.importances(study),
        changes=[
            (name, _short(getattr(start, name)), _short(getattr(winner, name)))
            for name in search.space.dimensions
            if getattr(start, name) != getattr(winner, name)
        ],
        cost=_cost(search),
        pictures={
            "a trial learns from": len(search.pictures.trial.train),
            "of those that it could": search.pictures.learnable,
            "a trial is valued on": len(search.pictures.trial.report),
            "seen by no trial": len(search.pictures.duel.test or ()),
        },
        duel=duel,
        no_duel=_nothing_to_compare(search, best),
    )


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else label(value)


def _row(trial: FrozenTrial, search: Search) -> TrialRow:
    is_start = memory.START in trial.user_attrs
    params = search.space.params(search.start) if is_start else trial.params
    outside = {name: label(getattr(search.start, name)) for name in search.space.dimensions if name not in params}
    last = max(trial.intermediate_values.values(), default=None)
    return TrialRow(
        number=trial.number,
        state={"COMPLETE": "finished", "PRUNED": "pruned"}.get(trial.state.name, "failed"),
        value=trial.values[0] if trial.state.name == "COMPLETE" else last,
        epochs=len(trial.intermediate_values),
        seconds=trial.user_attrs.get(memory.SECONDS),
        params=dict(params),
        outside=outside if is_start else {},
        is_start=is_start,
        reason=trial.user_attrs.get(memory.REASON, ""),
    )


def _cost(search: Search) -> str:
    """What a trial was."""
    learnt, learnable = len(search.pictures.trial.train), search.pictures.learnable
    # As they were: a recipe's min_steps may ask for more epochs than the budget grants.
    epochs = max(len(trial.intermediate_values) for trial in memory.over(search.study))
    return f"{learnt:,} of {learnable:,} pictures, {epochs} epoch{'s' if epochs > 1 else ''}"


def _nothing_to_compare(search: Search, best: FrozenTrial) -> str:
    if memory.START in best.user_attrs:
        return "No trial was better than the start: the winner is the start itself."
    if start_trial(search.study) is None:
        return "The starting recipe could not be trained: there is nothing to compare with."
    return "Winner and start have not been trained in full yet."
