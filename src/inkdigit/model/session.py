"""From a model file to a network that ONNX Runtime runs, within limits.

In: a path. Out: the session, and the text of the file's card; or one error that says why this is not a model of ours.
Only the file itself is read, and the memory of all networks of the process together has a limit.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import onnxruntime as ort

from inkdigit.errors import ModelFileError, NotAModelFile, OtherTask, reason_of
from inkdigit.model.card import LINE_OUTPUT, METADATA_KEY, OUTLIERS_OUTPUT, OUTPUTS
from inkdigit.model.schema import DIGIT, LINE
from inkdigit.parsing import read_bytes
from inkdigit.types import SIDE

MAX_BYTES = 2**28  # of a model file: the largest of our recipes makes one of 15 MB
MAX_MEMORY_BYTES = 2**31  # of all networks of the process together: `best` on a chunk takes 30 MB
LINE_SHAPE = (2, 48)  # channels and height of what a line reader sees; the width is free
MAX_RECEIVED_CHARACTERS = 200  # of an unknown graph's description in an error: some have thousands of inputs


def open_model(path: Path, *, task: str = DIGIT) -> tuple[ort.InferenceSession, str]:
    """The network of a model file, and the text of its card.

    Raises:
        ModelFileError: the file cannot be read.
        NotAModelFile: it is not ONNX, or not one of ours.
        OtherTask: it is a model for another task.
    """
    data = read_file(path)
    try:
        session = ort.InferenceSession(
            data,
            _options(path),
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print, and try the same again
        )
        inputs = [(i.name, i.type, [s for s in i.shape[1:] if isinstance(s, int)]) for i in session.get_inputs()]
        outputs = [o.name for o in session.get_outputs()]
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except broken() as exc:
        hint = "It may be incomplete, or its weights are in other files, which are never read."
        raise NotAModelFile(f"{path}: not an ONNX file that can be opened", hint=hint) from exc
    is_digit = inputs == [("image", "tensor(uint8)", [SIDE, SIDE])] and outputs in (
        [*OUTPUTS],
        [*OUTPUTS, OUTLIERS_OUTPUT],
    )
    is_line = inputs == [("line", "tensor(uint8)", [*LINE_SHAPE])] and outputs == [LINE_OUTPUT]
    if (is_line and task == DIGIT) or (is_digit and task == LINE):
        raise OtherTask(
            f"{path} reads {'whole numbers' if is_line else 'single digits'}",
            expected=f"a model for {'single digits' if is_line else 'whole numbers'}",
            hint=f"Use inkdigit {'read, or evaluate --task read' if is_line else 'predict'}.",
        )
    if not (is_digit or is_line):
        received = f"{', '.join(f'{n}: {t} {s}' for n, t, s in inputs)} → {', '.join(outputs)}"
        raise NotAModelFile(
            f"{path}: an ONNX file, but not one of Inkdigit's",
            expected="image: uint8 [n, 28, 28] → probs, score",
            received=received[:MAX_RECEIVED_CHARACTERS],
        )
    if text is None:
        raise NotAModelFile(f"{path}: an ONNX file, but not one of Inkdigit's: it has no card")
    return session, str(text)


def read_file(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelFileError: it cannot be read, or is too large to be one.
    """
    try:
        return read_bytes(path, max_bytes=MAX_BYTES)
    except OSError as exc:
        raise ModelFileError(f"{path} cannot be read: {reason_of(exc)}") from exc
    except ValueError as exc:
        raise NotAModelFile(f"{path}: not a model file: {exc}") from exc


def _options(path: Path) -> ort.SessionOptions:
    _bound_memory()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a broken file is reported by our own error
    # Networks as small as ours are done before a second thread is awake: with two, one image takes 1.5 times as long
    # for `fast` and `resnet`, and no less for `vgg`. Many images are shared among threads in `Recognizer._run`.
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    # ONNX Runtime would look for weights in other files in the current folder: there the model would be another one.
    # There is no folder below a file, so it finds none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path / "weights"))
    return options


@cache
def _bound_memory() -> None:
    """Limit the memory of all networks of the process: a file of a few bytes can ask for any amount."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    usual = dict.fromkeys(("arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk"), -1)
    with suppress(RuntimeError):  # other code in this process has set it, and it can be set only once
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": MAX_MEMORY_BYTES, **usual}))


def broken() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on bytes that are not a model, or on a network that does not run."""
    state = ort.capi.onnxruntime_pybind11_state
    names = ["InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoModel", "NoSuchFile", "NotFound"]
    names += ["NotImplemented", "Fail", "RuntimeException", "EPFail"]
    return UnicodeDecodeError, *(getattr(state, name) for name in names)
