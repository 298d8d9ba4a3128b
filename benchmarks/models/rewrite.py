"""Write bundled models again, as this release writes them: the same weights and card in a graph that may be quicker.

In: NAMEs of bundled float models, by default all of them. Out: each file in place, if the graph is another one and
predicts the same on drawn digits, to a ten-thousandth. The labels are the same, so no figure is measured again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import onnx

from inkdigit.errors import InkdigitError, UsageError
from inkdigit.files import write_atomic
from inkdigit.model.recognizer import ZOO, Recognizer
from inkdigit.training.convert.model_file import model_bytes, run_bytes, set_card, verify
from inkdigit.training.convert.restore import restore


def rewritten(model: Recognizer) -> bytes:
    """The file of `model` as this release writes it, with the card that it has.

    Raises:
        UsageError: it has no trainable weights.
        ParityError: the new file predicts something else.
    """
    net, _ = restore(model)
    card = model.card
    new = onnx.load_from_string(
        model_bytes(
            net,
            card.name,
            classes=card.classes,
            kind=card.prepare,
            calibration=card.calibration,
            samples=card.self_test.images,
            provenance=card.provenance,
        )
    )
    set_card(new, card)
    data = bytes(new.SerializeToString())
    verify(model, lambda images: run_bytes(data, images)[0], what="new file")
    return data


def rewrite(path: Path) -> bool:
    """Write the file again; whether it is another one now."""
    old, data = path.read_bytes(), rewritten(Recognizer.load(path))
    if [node.op_type for node in _nodes(old)] == [node.op_type for node in _nodes(data)]:
        return False
    write_atomic(path, data)
    Recognizer.load(path)  # it passes the self test of the old one
    return True


def _nodes(data: bytes) -> Sequence[onnx.NodeProto]:
    return list(onnx.load_from_string(data).graph.node)


def main(argv: Sequence[str] | None = None, *, zoo: Path = ZOO) -> int:
    """Write the files, or print in one line why not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [path.stem for path in sorted(zoo.glob("*.onnx"))]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"by default all float ones of {', '.join(known)}")
    names = parser.parse_args(argv).names
    try:
        for name in names or known:
            if name not in known:
                raise UsageError(f"There is no bundled model {name!r}", expected=f"one of {', '.join(known)}")
            if not names and Recognizer.load(zoo / f"{name}.onnx").card.numbers != "float32":
                continue
            print(f"{name}: {'written again' if rewrite(zoo / f'{name}.onnx') else 'it is so already'}")
    except InkdigitError as exc:
        print(f"Error: {exc}", file=sys.stderr)
        return exc.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
