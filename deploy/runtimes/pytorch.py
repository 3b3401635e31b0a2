"""The bundle itself in torch, eager or compiled: the baseline of every comparison."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn


class TorchRuntime:
    """A generator in its own precision, on the device that its weights are on."""

    def __init__(self, generator: nn.Module, *, compiled: bool = False) -> None:
        """compiled: by torch.compile, at the first run of each batch size, which takes many seconds."""
        weights = next(generator.parameters())
        self.device, self.dtype = weights.device, weights.dtype
        self.forward = torch.compile(generator, dynamic=False) if compiled else generator

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """See deploy.engine.Runtime."""
        with torch.inference_mode():
            tensors = [self._to_tensor(value) for value in inputs.values()]
            result: npt.NDArray[Any] = self.forward(*tensors).float().cpu().numpy()
        return result

    def _to_tensor(self, values: npt.NDArray[Any]) -> Tensor:
        """Style numbers stay integers."""
        tensor = torch.from_numpy(values).to(self.device)
        return tensor.to(self.dtype) if tensor.is_floating_point() else tensor

    def close(self) -> None:
        """Drop the generator."""
        del self.forward
