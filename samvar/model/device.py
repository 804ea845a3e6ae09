"""Where the models run, and how exactly."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from ..errors import SamvarError

SMALL_ROW = 20_480  # numbers: PyTorch convolves a single row of so many, or fewer, by itself
TESTED_ON = {"AVX512": "GenuineIntel", "AVX2": "AuthenticAMD"}  # kernels -> maker (`same_anywhere`)


def device_of(name: str) -> torch.device:
    """The device of that name: cpu, cuda, cuda:N; with `exact_fp32`. Raises SamvarError when it is
    not there."""
    try:
        device = torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as e:
        raise SamvarError(f"device {name!r} cannot be used (cpu always can): {e}") from e
    if device.type == "cuda":
        exact_fp32()
    return device


def exact_fp32() -> None:
    """Have convolutions and LSTMs on a GPU compute fp32 as fp32: cuDNN would round their inputs to
    TF32."""
    _set_tf32(False)


def rounded_fp32() -> None:
    """Have a GPU round the inputs of products to TF32 (10 bits of mantissa), which its matrix units
    are made for; sums stay fp32. On a CPU nothing changes."""
    _set_tf32(True)


def _set_tf32(on: bool) -> None:
    cudnn: Any = torch.backends.cudnn  # which attributes there are depends on the version
    matmul: Any = torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # torch >= 2.9
        precision = "tf32" if on else "ieee"
        cudnn.conv.fp32_precision = cudnn.rnn.fp32_precision = matmul.fp32_precision = precision
    else:
        cudnn.allow_tf32 = matmul.allow_tf32 = on


@cache
def same_anywhere() -> bool:
    """Whether this processor gives a column the same digits wherever it stands in a call. So it is
    with the kernels that PyTorch and MKL take for Intel's AVX-512 and for AMD's AVX2, on which it
    was tested; of others it is not known."""
    maker = TESTED_ON.get(torch.backends.cpu.get_cpu_capability())
    try:
        with open("/proc/cpuinfo") as f:
            return maker is not None and maker in f.read()
    except OSError:
        return False
