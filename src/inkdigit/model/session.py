"""From a model file to a network that ONNX Runtime runs, within bounds.

In: a path. Out: the session, and the text of the file's card; or one error that says why this is not a model of ours.
Nothing beside the file is read, and what networks take of memory is bounded for the whole process.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

import onnxruntime as ort

from inkdigit.errors import ModelFileError, NotAModelFile
from inkdigit.model.card import METADATA_KEY, OUTLIERS_OUTPUT, OUTPUTS
from inkdigit.parsing import read_bytes
from inkdigit.types import SIDE

MAX_BYTES = 2**28  # of a model file: the largest of our recipes makes one of 15 MB
MAX_MEMORY = 2**31  # bytes that all networks of the process take together
MAX_RECEIVED = 200  # characters of an unknown graph's description in an error


def open_model(path: Path) -> tuple[ort.InferenceSession, str]:
    """The network of a model file, and the text of its card.

    Raises:
        ModelFileError: the file cannot be read.
        NotAModelFile: it is not ONNX, or not one of ours.
    """
    data = read_file(path)
    try:
        session = ort.InferenceSession(
            data,
            _options(path),
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print, and try the same again
        )
        inputs = [(i.name, i.type, i.shape[1:]) for i in session.get_inputs()]
        outputs = [o.name for o in session.get_outputs()]
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    except broken() as exc:
        hint = "It may be cut short, or its weights lie in files of their own, which are never read."
        raise NotAModelFile(f"{path}: not an ONNX file that can be opened", hint=hint) from exc
    known = outputs in ([*OUTPUTS], [*OUTPUTS, OUTLIERS_OUTPUT])
    if inputs != [("image", "tensor(uint8)", [SIDE, SIDE])] or not known:
        received = f"{', '.join(f'{n}: {t} {s}' for n, t, s in inputs)} → {', '.join(outputs)}"
        raise NotAModelFile(
            f"{path}: an ONNX file, but not one of Inkdigit's",
            expected="image: uint8 [n, 28, 28] → probs, score",
            received=received[:MAX_RECEIVED],
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
        raise ModelFileError(f"{path} cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise NotAModelFile(f"{path}: not a model file: {exc}") from exc


def _options(path: Path) -> ort.SessionOptions:
    _bound_memory()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # a broken file is our error to tell
    # Networks as small as ours are through before a second thread is awake: with two, one picture takes 1.5 times as
    # long for `fast` and `resnet`, and no less for `vgg`. Many pictures are shared out among threads in `_run`.
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights in files of their own would be looked for in the current folder: the model would be another one there.
    # There is no folder below a file, so none are found.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path / "weights"))
    return options


@cache
def _bound_memory() -> None:
    """Set what all networks of the process may take together: a file of a few bytes can ask for any amount."""
    memory = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    usual = dict.fromkeys(("arena_extend_strategy", "initial_chunk_size_bytes", "max_dead_bytes_per_chunk"), -1)
    with suppress(RuntimeError):  # somebody else in this process has set it, and it can be set only once
        ort.create_and_register_allocator(memory, ort.OrtArenaCfg({"max_mem": MAX_MEMORY, **usual}))


def broken() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises on bytes that are no model, or on a network that does not run."""
    state = ort.capi.onnxruntime_pybind11_state
    names = (
        *("InvalidProtobuf", "InvalidGraph", "InvalidArgument", "NoModel", "NotImplemented", "Fail", "NoSuchFile"),
        *("NotFound", "RuntimeException", "EPFail"),
    )
    return UnicodeDecodeError, *(getattr(state, name) for name in names)
