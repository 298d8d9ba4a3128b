"""The formats in which a model file can be exported, by their names. The help of the command line lists them.

In: the name of a format. Out: the end of its file's name, or an error. This file imports no library.
"""

from __future__ import annotations

from inkdigit.errors import UsageError, did_you_mean

KERAS, SAFETENSORS, PT2 = "keras", "safetensors", "pt2"
INT8 = "onnx-int8"  # the only format that needs data, see `int8.py`
ONNX, LITERT, OPENVINO, CORE_ML = "onnx", "tflite", "openvino", "coreml"  # of other runtimes, see `runtimes/`
# Format → the end of the name of its file; that of Core ML is a folder, and OpenVINO's weights are in a .bin beside it.
SUFFIXES = {
    KERAS: ".keras",
    ONNX: "-plain.onnx",
    INT8: "-int8.onnx",
    LITERT: ".tflite",
    OPENVINO: ".xml",
    CORE_ML: ".mlpackage",
    SAFETENSORS: ".safetensors",
    PT2: ".pt2",
}
# Format → the program that opens no file with another end of its name.
PARTICULAR = {KERAS: "Keras", OPENVINO: "OpenVINO", CORE_ML: "Core ML"}


def check_format(name: str, *, data: object) -> None:
    """Check the name of a format, and that the format uses data if the user names some.

    Raises:
        UsageError: the format is unknown, or uses no data.
    """
    if name not in SUFFIXES:
        hint = did_you_mean(name, SUFFIXES)
        raise UsageError(f"Unknown format {name!r}", expected=", ".join(SUFFIXES), hint=hint)
    if data is not None and name != INT8:
        raise UsageError(f"{name} needs no data", expected=f"data only with {INT8}")
