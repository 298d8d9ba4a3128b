"""The device: which one is chosen, when it computes in bfloat16, and settings of PyTorch that are restored."""

from __future__ import annotations

import sys

import pytest
import torch

from inkdigit.errors import TrainingError, UsageError
from inkdigit.training.device import (
    choose_device,
    deterministic,
    gpu_memory,
    has_bfloat16,
    name_of,
    use_threads,
    uses_bfloat16,
)

from .conftest import CPU, tiny


def test_cuda_is_an_error_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"CUDA is not available here\. Use --device cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def test_mps_is_an_error_where_there_is_none(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(UsageError, match=r"MPS is not available here\. Use --device cpu"):
        choose_device("mps")


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (True, False, "cuda"), (False, True, "cpu"), (False, False, "cpu")],
)
def test_auto_takes_cuda_and_never_mps(monkeypatch, cuda, mps, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu") == CPU
    if mps:
        assert choose_device("mps").type == "mps"
    if cuda:
        assert choose_device("cuda").type == "cuda"


def test_an_unknown_device_names_the_known_ones():
    with pytest.raises(UsageError, match=r"Unknown device 'gpu'\. Expected: auto, cpu, cuda or mps\."):
        choose_device("gpu")


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_computes_in_bfloat16_where_it_does_not_emulate_it(monkeypatch, has):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *, including_emulation: has and not including_emulation)
    assert uses_bfloat16(tiny(precision="auto"), torch.device("cuda")) is has
    assert uses_bfloat16(tiny(precision="float32"), torch.device("cuda")) is False


def test_mps_computes_in_bfloat16_only_where_the_recipe_says_so():
    mps = torch.device("mps")
    assert uses_bfloat16(tiny(precision="auto"), mps) is False
    assert uses_bfloat16(tiny(precision="bfloat16"), mps) is True


def test_a_device_has_a_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "G1")
    assert [name_of(torch.device(each)) for each in ("cpu", "cuda", "mps")] == ["cpu", "G1", "mps"]


@pytest.mark.parametrize(
    "command", [["train", "fast"], ["tune", "fast", "--data", "sklearn-digits"], ["audit", "sklearn-digits"]]
)
def test_every_command_that_trains_has_the_device(command, monkeypatch, tmp_path, capsys):
    from inkdigit.cli.app import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main([*command, "--device", "mps"])
    assert ended.value.code == UsageError.exit_code
    assert "MPS is not available here" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_adapting_has_the_device(tiny_file, tmp_path):
    from inkdigit.training.adapt.adapt import adapt

    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        adapt(tiny_file, "sklearn-digits", out=tmp_path / "a.onnx", device="gpu")


def test_a_processor_whose_threads_would_spin_is_warned_of(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(sys, "platform", "linux")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.warns(UserWarning, match="Write `import inkdigit` above `import torch`"):
        choose_device("cpu")
    monkeypatch.setenv("GOMP_SPINCOUNT", "300")
    assert choose_device("cpu") == CPU  # pytest makes each warning an error
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert choose_device("cpu") == CPU  # another OpenMP


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
