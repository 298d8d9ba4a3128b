"""One image explained: which ink decided, and a page with what the network made of it.

In: an image and a model. Out: an `Explanation`, and a page where one is wanted. The file alone gives occlusion;
filters, feature maps and gradients need its weights and PyTorch, and are left out where one of them is missing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from inkdigit.errors import InkdigitError, requiring
from inkdigit.files import write_atomic
from inkdigit.model import explain as occlusion
from inkdigit.model.explain import Explanation
from inkdigit.model.recognizer import Recognizer, find
from inkdigit.picture.decode import Picture, decode
from inkdigit.report.explain import LEFT_OUT, Example, Explained, Insight, page
from inkdigit.runs import check_place
from inkdigit.types import Log, check_functions, silent

if TYPE_CHECKING:
    from inkdigit.training.own.network import Build


def explain(
    picture: Picture,
    *,
    model: Recognizer | str | Path = "default",
    out: str | Path | None = None,
    net: Build | None = None,
    log: Log = silent,
) -> Explanation:
    """Predict one image, and show which ink decided; write a page of it to `out` if that is given.

    The page also shows the filters and feature maps of the network, and gradients, if PyTorch is installed and the file
    has weights; the explanation has the gradients then, too. `net` builds the network of a model that is your own. A
    file that is at `out` is replaced.

    Raises:
        PictureError: the image cannot be read.
        UsageError: there is no such model.
        ModelFileError: the model's file cannot be used.
        MissingExtra: the library for the page is not installed.
        OutputError: the page cannot be written.
    """
    check_functions(net=net, log=log)
    if out is not None:
        read = [find(model) if isinstance(model, str | Path) else model.path]
        check_place(Path(out), reads=[*read, Path(picture)] if isinstance(picture, str | Path) else read)
    recognizer, given = Recognizer.of(model), decode(picture)
    explanation = occlusion.explain(recognizer, given)
    if out is None:
        return explanation
    explanation, insight = _look_inside(recognizer, explanation, net)
    name = Path(picture).name if isinstance(picture, str | Path) else "the image"
    facts = {**explanation.facts, "model": recognizer.name}
    write_atomic(Path(out), page(Explained(name, given, explanation, facts, insight, recognizer.prepare)))
    if insight is not None and insight.left_out:
        log(insight.left_out)
    return explanation


def _look_inside(
    recognizer: Recognizer, explanation: Explanation, net: Build | None
) -> tuple[Explanation, Insight | None]:
    """What the page shows; without PyTorch, or without weights in the file, occlusion and a sentence why."""
    if explanation.occlusion is None:
        return explanation, None
    try:
        with requiring("They need"):
            from inkdigit.training.internals import explain_weights
        (explanation,), internals = explain_weights(recognizer, [explanation], net=net)
    except InkdigitError as exc:
        left_out = f"{LEFT_OUT} {exc}"
        return explanation, Insight((Example(explanation),), left_out=left_out, prepare=recognizer.prepare)
    insight = Insight(
        (Example(explanation),),
        filters=internals.filters,
        maps=internals.maps,
        activated=internals.activated,
        left_out=internals.left_out,
        prepare=recognizer.prepare,
    )
    return explanation, insight
