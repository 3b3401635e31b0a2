"""Inputs for calibration, parity and latency: images of a dataset where one is given, else random ones of a seed."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from limner.core.images import LUMA, to_uint8
from limner.core.signature import Signature
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record, load_dataset
from limner.data_pipeline.reference import read_pairs

Inputs = dict[str, npt.NDArray[Any]]

CALIBRATION_IMAGES = 32
"""Enough for ranges of symmetric int8; more change them little and cost time."""
EXAMPLE_BATCH = 2
"""Batch size of examples to trace with: torch.export takes a batch of 1 for a constant."""
SEED = 0


def parity_inputs(signature: Signature, count: int, data: Path | None) -> Inputs:
    """`count` inputs of a float signature by name: the first validation (else test, else training) images of `data`.

    Random ones for latents and where `data` is None.
    """
    if data is None or signature.inputs[0].name == "latent":
        return {name: value.numpy() for name, value in random_inputs(signature, count, SEED).items()}
    dataset = load_dataset(data)
    records = next((dataset.splits[name] for name in ("val", "test", "train") if dataset.splits[name]), ())
    return _read(signature, data, records, count)


def random_inputs(signature: Signature, batch: int, seed: int) -> dict[str, Tensor]:
    """Random inputs of a float signature on the CPU: blurred noise for photos, N(0, 1) for latents, any style."""
    generator = torch.Generator().manual_seed(seed)
    inputs: dict[str, Tensor] = {}
    for port in signature.inputs:
        if port.name == "style":
            inputs[port.name] = torch.randint(signature.styles, (batch,), generator=generator)
        elif port.name == "latent":
            inputs[port.name] = torch.randn((batch, *port.shape), generator=generator)
        else:
            coarse = torch.rand((batch, port.shape[0], 16, 16), generator=generator)
            smooth = torch.nn.functional.interpolate(coarse, port.shape[1:], mode="bicubic", align_corners=False)
            inputs[port.name] = smooth.clamp_(0.0, 1.0) * 2.0 - 1.0
    return inputs


def calibration_inputs(signature: Signature, data: Path | None) -> list[Inputs]:
    """CALIBRATION_IMAGES batches of one, spread evenly over the training images of `data`; random latents.

    Raises UserError for a generator of photos without `data`.
    """
    if signature.inputs[0].name == "latent":
        images = parity_inputs(signature, CALIBRATION_IMAGES, None)
    elif data is None:
        raise UserError("precision int8 needs photos to find its ranges: give --data DATASET, the one trained on")
    else:
        records = load_dataset(data).split("train")
        images = _read(signature, data, records[:: max(1, len(records) // CALIBRATION_IMAGES)], CALIBRATION_IMAGES)
    return [{name: values[i : i + 1] for name, values in images.items()} for i in range(CALIBRATION_IMAGES)]


def _read(signature: Signature, root: Path, records: Sequence[Record], count: int) -> Inputs:
    """`count` photos (grey for a generator of one channel) and styles, repeated from the first if there are fewer."""
    if not records:
        raise UserError(f"{root}: a dataset without images: prepare it again")
    chosen = list(itertools.islice(itertools.cycle(records), count))
    batch = next(read_pairs(root, chosen, signature.inputs[0].shape[-1], count))
    photos = batch.photo.numpy()
    if signature.inputs[0].shape[0] == 1:
        photos = np.einsum("nchw,c->nhw", photos, LUMA)[:, None].astype(np.float32)
    inputs: Inputs = {"photo": photos}
    if signature.styles:
        inputs["style"] = batch.style.numpy()
    return inputs


def to_engine_inputs(signature: Signature, inputs: Inputs) -> Inputs:
    """Convert float inputs to those of an engine's signature: photos to uint8 where its graph takes uint8."""
    main = signature.inputs[0]
    if main.dtype != "uint8":
        return inputs
    return {**inputs, main.name: to_uint8(inputs[main.name])}
