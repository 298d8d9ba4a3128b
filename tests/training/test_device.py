"""The device: which one is chosen, when it computes in bfloat16, and settings of PyTorch that are restored."""

from __future__ import annotations

import pytest
import torch

from inkdigit.errors import TrainingError, UsageError
from inkdigit.training.device import choose_device, deterministic, gpu_memory, has_bfloat16, use_threads, uses_bfloat16

from .conftest import CPU, tiny


def test_cuda_is_an_error_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"CUDA is not available here\. Use --device cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def test_a_processor_whose_threads_would_spin_is_warned_of(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="Write `import inkdigit` above `import torch`"):
        choose_device("cpu")
    monkeypatch.setenv("GOMP_SPINCOUNT", "300")
    assert choose_device("cpu") == CPU  # pytest makes each warning an error


@pytest.mark.parametrize(("precision", "uses"), [("auto", has_bfloat16(CPU)), ("float32", False), ("bfloat16", True)])
def test_bfloat16_is_used_where_the_recipe_and_the_processor_have_it(precision, uses):
    assert uses_bfloat16(tiny(precision=precision), CPU) == uses


@pytest.mark.parametrize(
    ("flags", "has"),
    [("fpu avx512_bf16 sse2", True), ("fpu amx_bf16", True), ("fpu avx512f avx2", False), (None, False)],
)
def test_a_processor_has_bfloat16_where_its_flags_name_it(tmp_path, flags, has):
    cpuinfo = tmp_path / "cpuinfo"
    if flags is not None:  # as on macOS
        cpuinfo.write_text(f"processor : 0\nflags : {flags}\n", encoding="utf-8")
    assert has_bfloat16(CPU, cpuinfo=cpuinfo) is has


def test_a_worker_computes_with_one_thread():
    before = torch.get_num_threads()
    try:
        use_threads(2)
        assert torch.get_num_threads() == 2
        use_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_the_settings_of_pytorch_are_restored_after_an_error():
    assert not torch.are_deterministic_algorithms_enabled()

    def fail() -> None:
        with deterministic(CPU):
            assert torch.are_deterministic_algorithms_enabled()
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, torch.AcceleratorError])
def test_a_full_gpu_is_an_error_with_the_next_step(error):
    with (
        pytest.raises(TrainingError, match=r"memory of the GPU is full\. Do that\."),
        gpu_memory("Do that."),
    ):
        raise error("CUDA error: out of memory")
    with pytest.raises(error, match="assert"), gpu_memory("Do that."):
        raise error("CUDA error: device-side assert")
