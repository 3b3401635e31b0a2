"""The DALI loader: one definition for CPU and GPU. The only file that imports nvidia.dali.

The order of images and every random draw come from data_pipeline.stream through `fn.external_source`; DALI decodes and
computes. No DALI reader, seed, epoch or checkpoint takes part, so none of their states can drift or get lost.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from nvidia.dali import Pipeline, fn, types
from torch.utils.dlpack import from_dlpack

from limner.core.batch import Batch
from limner.core.util.errors import UserError
from limner.data_pipeline.reference import read_encoded, read_image
from limner.data_pipeline.stream import LoaderSpec

Array = npt.NDArray[Any]

_ENCODED = "encoded"  # name of the input of the decoding pipeline


def open_dali(spec: LoaderSpec) -> Iterator[Batch]:
    """The batches of `spec`, endlessly, prepared ahead of their use by DALI's threads or on the GPU.

    Raises UserError where a GPU is asked for and DALI finds none.
    """
    load_size = spec.augment.resolved_load_size(spec.image_size)
    stored = read_image(spec.root, spec.records[0].photo).shape  # that of all images of a prepared data set
    size = None if stored == (load_size, load_size, 3) else load_size
    try:
        decoder = _build_decoder(spec, size) if spec.cache else None
        return _run(_build_loader(spec, size, decoder), spec)
    except RuntimeError as error:
        if not (_on_gpu(spec) and "CUDA" in str(error)):
            raise
        raise UserError(
            f"loader dali on {spec.device}: DALI finds no CUDA driver: use --loader reference, or train on the CPU "
            "(--gpus-per-worker 0)"
        ) from error


def _on_gpu(spec: LoaderSpec) -> bool:
    return spec.device.type == "cuda"


def _pipeline(spec: LoaderSpec, **options: int) -> Any:
    device_id = (spec.device.index or 0) if _on_gpu(spec) else None  # None: neither GPU nor driver is looked for
    return Pipeline(batch_size=spec.batch_size, num_threads=spec.threads, device_id=device_id, **options)


def _decode(spec: LoaderSpec, size: int | None, encoded: Any) -> Any:
    """Encoded bytes -> (H, W, 3) uint8 RGB, resized to (size, size, 3) where a size is given.

    A resize to the size that an image has would change nothing and cost three times the decoding.
    """
    image = fn.decoders.image(encoded, device="mixed" if _on_gpu(spec) else "cpu", output_type=types.RGB)
    if size is None:
        return image
    return fn.resize(image, size=(size, size), interp_type=types.INTERP_LINEAR, antialias=True)


def _build_decoder(spec: LoaderSpec, size: int | None) -> Any:
    """A pipeline that only decodes: from bytes that are fed by name to pixels on the host."""
    with _pipeline(spec, prefetch_queue_depth=1) as pipeline:
        pipeline.set_outputs(_decode(spec, size, fn.external_source(name=_ENCODED)).cpu())
    pipeline.build()
    return pipeline


def _build_loader(spec: LoaderSpec, size: int | None, decoder: Any) -> Any:
    """The pipeline from `_feed` to photos and, in pairs, sketches, (N, 3, S, S) float32 in [-1, 1], and positions."""
    kinds, numbers = 1 + spec.paired, 4 + spec.warps + spec.colours
    layouts = ["HWC" if spec.cache else ""] * kinds + [""] * numbers
    with _pipeline(spec) as pipeline:
        inputs = iter(fn.external_source(_feed(spec, decoder), num_outputs=len(layouts), layout=layouts))
        images = [next(inputs) for _ in range(kinds)]
        position, x, y, mirror = (next(inputs) for _ in range(4))
        warp = next(inputs) if spec.warps else None
        colour = next(inputs) if spec.colours else None
        for kind, image in enumerate(images):
            if not spec.cache:
                image = _decode(spec, size, image)
            elif _on_gpu(spec):
                image = image.gpu()
            if warp is not None:
                image = fn.warp_affine(image, matrix=warp, interp_type=types.INTERP_LINEAR)  # edge pixels go on
            if colour is not None and kind == 0:
                image = fn.coord_transform(image, MT=colour, dtype=types.UINT8)
            images[kind] = fn.crop_mirror_normalize(
                image,
                crop=(spec.image_size, spec.image_size),
                crop_pos_x=x,
                crop_pos_y=y,
                mirror=mirror,
                mean=[127.5] * 3,
                std=[127.5] * 3,
                dtype=types.FLOAT,
                output_layout="CHW",
            )
        pipeline.set_outputs(*images, position)
    pipeline.build()
    return pipeline


def _feed(spec: LoaderSpec, decoder: Any) -> Iterator[tuple[list[Array] | Array, ...]]:
    """The inputs of the loader, batch by batch: images by kind, position, crop, mirror and the options that are on.

    With a `decoder` images are pixels, decoded by it at their first use and kept; caching therefore changes no bit.
    """
    free = max(1, spec.augment.resolved_load_size(spec.image_size) - spec.image_size)
    pixels: dict[str, Array] = {}

    def load(names: Sequence[str]) -> list[Array]:
        if decoder is None:
            return [read_encoded(spec.root, name) for name in names]
        missing = [name for name in names if name not in pixels]
        if missing:
            decoder.feed_input(_ENCODED, [read_encoded(spec.root, name) for name in missing])
            (images,) = _outputs(decoder, spec, missing)
            pixels.update((name, np.array(images.at(number))) for number, name in enumerate(missing))
        return [pixels[name] for name in names]

    for positions in spec.batches():
        changes = [spec.augmentation_at(position) for position in positions]
        inputs: list[list[Array] | Array] = [
            *map(load, zip(*map(spec.files_at, positions), strict=True)),
            np.array(positions, np.int64),
            np.array([change.x / free for change in changes], np.float32),  # DALI rounds this times `free` to a pixel
            np.array([change.y / free for change in changes], np.float32),
            np.array([change.mirror for change in changes], np.int32),
        ]
        if spec.warps:
            inputs.append(np.array([change.warp() for change in changes], np.float32))
        if spec.colours:
            inputs.append(np.array([change.colour() for change in changes], np.float32))
        yield tuple(inputs)


def _outputs(pipeline: Any, spec: LoaderSpec, names: Sequence[str]) -> Any:
    """The pipeline's next outputs, which come of the files `names`; raises UserError where one of them is damaged."""
    try:
        return pipeline.run(torch.cuda.current_stream(spec.device) if _on_gpu(spec) else None)
    except RuntimeError:
        for name in names:  # DALI does not say which file it could not decode
            read_image(spec.root, name)
        raise


def _run(pipeline: Any, spec: LoaderSpec) -> Iterator[Batch]:
    """Hand DALI's outputs to torch without a copy: DLPack keeps a batch's memory for as long as its tensors live."""
    for expected in spec.batches():
        names = [name for position in expected for name in spec.files_at(position)]
        *images, position = (from_dlpack(output.as_tensor()) for output in _outputs(pipeline, spec, names))
        assert position.tolist() == list(expected), "DALI gave a batch out of its turn"
        yield spec.batch(expected, images)
