"""Inputs for calibration and proof: images of a dataset where one is given, else drawn from a seed."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from limner.core.images import to_uint8
from limner.core.signature import Signature
from limner.core.util.errors import UserError
from limner.data_pipeline.index import Record, load_dataset
from limner.data_pipeline.reference import read_pairs

Inputs = dict[str, npt.NDArray[Any]]

CALIBRATION_IMAGES = 32
"""Enough for ranges of symmetric int8; more change them little and cost time."""
SEED = 0


def proof_inputs(signature: Signature, count: int, data: Path | None) -> Inputs:
    """`count` inputs of a float signature by name: the first validation (else test, else training) images of `data`."""
    if data is None or signature.inputs[0].name == "latent":
        return {name: value.numpy() for name, value in random_inputs(signature, count, SEED).items()}
    dataset = load_dataset(data)
    records = next((dataset.splits[name] for name in ("val", "test", "train") if dataset.splits[name]), ())
    return _read(signature, data, records, count)


def random_inputs(signature: Signature, batch: int, seed: int) -> dict[str, Tensor]:
    """Inputs for a float signature on the CPU: blurred noise for photos, N(0, 1) for latents, any style."""
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
    """Batches of one, drawn evenly from the training images of `data`; latents are drawn from a seed."""
    if signature.inputs[0].name == "latent":
        images = proof_inputs(signature, CALIBRATION_IMAGES, None)
    elif data is None:
        raise UserError("precision int8 needs photos to find its ranges: give --data DATASET, the one trained on")
    else:
        records = load_dataset(data).split("train")
        images = _read(signature, data, records[:: max(1, len(records) // CALIBRATION_IMAGES)], CALIBRATION_IMAGES)
    return [{name: values[i : i + 1] for name, values in images.items()} for i in range(CALIBRATION_IMAGES)]


def _read(signature: Signature, root: Path, records: Sequence[Record], count: int) -> Inputs:
    """`count` photos and styles, over again from the first where there are fewer."""
    if not records:
        raise UserError(f"{root}: a dataset without a picture: prepare it again")
    chosen = list(itertools.islice(itertools.cycle(records), count))
    batch = next(read_pairs(root, chosen, signature.inputs[0].shape[-1], count))
    inputs: Inputs = {"photo": batch.photo.numpy()}
    if signature.styles:
        inputs["style"] = batch.style.numpy()
    return inputs


def as_taken(signature: Signature, inputs: Inputs) -> Inputs:
    """Float inputs as an engine's signature takes them: photos as uint8 where it has pixels in its graph."""
    main = signature.inputs[0]
    if main.dtype != "uint8":
        return inputs
    return {**inputs, main.name: to_uint8(inputs[main.name])}
