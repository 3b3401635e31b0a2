"""The bindings of TensorRT and TensorRT-RTX on this machine: logger, driver and supported GPUs."""

from functools import cache
from types import ModuleType
from typing import Any, Literal

import torch

from limner.core.util.errors import UserError
from limner.deploy.backends import BackendName

PlanBackend = Literal["tensorrt", "tensorrt-rtx"]
"""The backends whose engine is a plan of their own bindings."""
RTX_CAPABILITIES = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
"""Compute capabilities that TensorRT-RTX 1.7 runs on; it runs on no data-centre Hopper or Blackwell."""


@cache
def logger(trt: ModuleType) -> Any:
    """The process's TensorRT logger, which prints errors; the library takes only one."""
    return trt.Logger(trt.Logger.ERROR)


def check_driver(backend: BackendName) -> None:
    """Raise UserError where there is no NVIDIA driver or no GPU that torch can use."""
    if not torch.cuda.is_available():
        raise UserError(
            f"backend {backend}: no NVIDIA GPU or driver (or a torch without CUDA) here: take --backend openvino, or "
            "tensorrt-rtx, which builds without a GPU"
        )


def runs_here(backend: PlanBackend) -> bool:
    """Whether there is a GPU that runs the backend's plans."""
    if not torch.cuda.is_available():
        return False
    return backend == "tensorrt" or torch.cuda.get_device_capability() in RTX_CAPABILITIES
