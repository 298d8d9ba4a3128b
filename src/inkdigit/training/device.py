"""The device that training runs on, and PyTorch set so that the same seed gives the same numbers there.

In: the name of a device, a recipe. Out: a `torch.device`, whether to compute in bfloat16, and blocks in which PyTorch
is deterministic or a full GPU is an error with a next step.

    device   chosen by                             precision `auto`                          the same seed gives
    cpu      cpu; auto where there is no CUDA      bfloat16 where the processor has it       the same bits, same threads
    cuda     cuda; auto where there is one         bfloat16 where the GPU has it             the same bits, same GPU
    mps      mps, never auto: nobody has measured  float32                                   the same bits, same machine

Another device draws other random numbers: with the same seed its network is another one, as with another seed. An
operation that PyTorch cannot repeat bit for bit is an error on every device, not a silent difference.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from inkdigit.errors import TrainingError, UsageError
from inkdigit.machine import check_device
from inkdigit.training.recipe import EXTERNAL, Recipe

CPU = torch.device("cpu")
OPENMP = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}  # inkdigit sets the second if it is imported before PyTorch
SPINNING = (
    "PyTorch was imported before inkdigit: its threads spin long while they wait, and beside another program a "
    "training may take many times as long. Write `import inkdigit` above `import torch`, or set GOMP_SPINCOUNT=300."
)
CPUINFO = Path("/proc/cpuinfo")  # where Linux lists what the processor can do


def choose_device(name: str) -> torch.device:
    """The device that a name of `machine.DEVICES` means here; warns if it is the processor and its threads would spin.

    Raises:
        UsageError: another name, or a device that this machine or this PyTorch does not have.
    """
    check_device(name)
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("CUDA is not available here", hint="Use --device cpu, or a PyTorch built for CUDA.")
    if name == "mps" and not torch.backends.mps.is_available():
        hint = "Use --device cpu; MPS needs a Mac with an Apple processor and its own PyTorch."
        raise UsageError("MPS is not available here", hint=hint)
    if name == "mps":
        return torch.device("mps")
    if name != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    # Only the OpenMP of GCC, which PyTorch has on Linux, spins so.
    if sys.platform == "linux" and not OPENMP & os.environ.keys() and torch.get_num_threads() > 1:
        warnings.warn(SPINNING, stacklevel=2)
    return CPU


def name_of(device: torch.device) -> str:
    """What a report says of a device: the name of a GPU of CUDA, else cpu or mps."""
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type


def uses_bfloat16(recipe: Recipe, device: torch.device) -> bool:
    """Whether the recipe computes in bfloat16 on this device."""
    automatic = recipe.precision == "auto" and recipe.net != EXTERNAL  # a user's network may not be written for it
    return recipe.precision == "bfloat16" or (automatic and has_bfloat16(device))


def has_bfloat16(device: torch.device, *, cpuinfo: Path = CPUINFO) -> bool:
    """Whether the device multiplies bfloat16 in hardware; emulation is slower than float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "mps":
        return False  # some have it, and PyTorch does not tell which
    try:
        flags = cpuinfo.read_text(encoding="ascii", errors="ignore")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def use_threads(count: int) -> None:
    """Compute with `count` threads; with another number sums round differently."""
    torch.set_num_threads(count)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Let PyTorch use only operations that give the same bits again; restore its settings afterwards."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # the value that cuBLAS documents for this
    memory: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    torch.set_deterministic_debug_mode("error")  # use_deterministic_algorithms imports the compiler too: a second
    memory.fill_uninitialized_memory = False  # nothing reads it, and filling takes a tenth of the time
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before[0])
        memory.fill_uninitialized_memory = before[1]


@contextmanager
def gpu_memory(next_step: str) -> Iterator[None]:
    """Turn a full GPU memory into an error that suggests `next_step`.

    Raises:
        TrainingError: the memory of the GPU is full.
    """
    try:
        yield
    except RuntimeError as exc:  # that of MPS has no class of its own
        if "out of memory" not in str(exc):
            raise
        raise TrainingError("The memory of the GPU is full", hint=next_step) from exc
