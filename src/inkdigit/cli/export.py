"""`inkdigit export`: a model file in a format of other programs, or a smaller and faster one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkdigit.cli import talk
from inkdigit.cli.outputs import check_new, exists_already
from inkdigit.cli.own import Net, build_of
from inkdigit.training.convert.formats import CORE_ML, INT8, ONNX, SUFFIXES, check_format

if TYPE_CHECKING:
    from inkdigit.measure.metrics import Metrics
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.training.convert.export import Exported


def export(
    model: Annotated[str, typer.Argument(help="A bundled model, a run or its name, or an .onnx file.")],
    format_: Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{', '.join(SUFFIXES)}.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; by default a new one here, named after the run or model.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="SOURCE for the ranges of onnx-int8; by default what the model learned from.")
    ] = None,
    net: Net = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there already, or the folder of a Core ML package.")
    ] = False,
) -> None:
    """Write a model for another runtime, for Keras or PyTorch, or as a smaller and faster one of 8-bit integers.

    Example: inkdigit export fast --format keras --out fast.keras
    """
    check_format(format_, data=data)
    from inkdigit.model.recognizer import Recognizer
    from inkdigit.training.convert.export import choose_target, is_package, places
    from inkdigit.training.convert.export import export as convert

    recognizer = Recognizer.load(model)
    target = choose_target(out, format_, model=model, recognizer=recognizer)
    for place in places(target, format_):
        check_new(place, force=force)
    if format_ == CORE_ML and is_package(target) and not force:
        raise exists_already(target)
    with talk.interruptible():
        exported = convert(recognizer, format_, target, data=data, net=build_of(net), log=talk.note)
    _print(exported, recognizer)
    _next(target, format_)


def _print(exported: Exported, recognizer: Recognizer) -> None:
    """Print where the file is; of an int8 file the figures of both files, too."""
    if exported.before is not None and exported.after is not None:
        before, size = exported.before, recognizer.path.stat().st_size
        talk.say(f"{before.data} ({before.split}), {before.n:,} images")
        talk.say(f"float32     {_figures(before)}, {size / 1000:,.0f} kB")
        talk.say(f"int8        {_figures(exported.after)}, {exported.bytes / 1000:,.0f} kB")
        if exported.bytes >= size:
            talk.note(
                "The int8 file is not smaller: in so small a network the descriptions of the integers outweigh them."
            )
    talk.say(f"Written     {exported.path} ({exported.bytes / 1000:,.0f} kB)")
    if exported.left_out is not None:
        talk.note(exported.left_out)
    if exported.unchecked is not None:
        talk.note(exported.unchecked)


def _figures(metrics: Metrics) -> str:
    limits = talk.interval(metrics.accuracy_ci95)
    return f"{talk.percent(metrics.accuracy)} ({limits}), {metrics.answered:,} answered"


def _next(target: Path, format_: str) -> None:
    file = json.dumps(str(target), ensure_ascii=False)  # in double quotes, since the shell's are single
    code = {
        "keras": f"import keras; keras.models.load_model({file}).summary()",
        "tflite": f"from ai_edge_litert.interpreter import Interpreter as I; print(I({file}).get_signature_list())",
        "openvino": f"import openvino; print(openvino.Core().read_model({file}))",
        "coreml": f"import coremltools; print(coremltools.utils.load_spec({file}).description)",
        "safetensors": f"from safetensors.torch import load_file; print(load_file({file}).keys())",
        "pt2": f"import torch; print(torch.export.load({file}))",
    }
    if format_ in (INT8, ONNX):
        talk.next_steps(["inkdigit", "predict", "picture.png", "--model", str(target)])
    else:
        backend = ["KERAS_BACKEND=torch"] if format_ == "keras" else []  # by default Keras looks for TensorFlow
        talk.next_steps([*backend, "python", "-c", code[format_]])
