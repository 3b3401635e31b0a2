"""The DALI loader: one definition for CPU and GPU. The only file that imports nvidia.dali.

The order of samples and all random numbers come from data_pipeline.stream through `fn.external_source`; DALI decodes
and computes. It uses no DALI reader, seed, epoch or checkpoint, so there is no DALI state to save.
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
from limner.data_pipeline.reference import read_dataset_image, read_encoded
from limner.data_pipeline.stream import SampleStream

Array = npt.NDArray[Any]

_ENCODED = "encoded"  # name of the decoding pipeline's input


def open_dali(stream: SampleStream) -> Iterator[Batch]:
    """Yield the batches of `stream`, endlessly; DALI's threads or the GPU prefetch them.

    Raises UserError if the device is a GPU and DALI finds no driver.
    """
    load_size = stream.load_size
    stored = read_dataset_image(stream.root, stream.records[0].photo).shape  # the same for all images of a dataset
    size = None if stored == (load_size, load_size, 3) else load_size
    try:
        decoder = _build_decoder(stream, size) if stream.cache else None
        return _run(_build_loader(stream, size, decoder), stream)
    except RuntimeError as error:
        if not (_on_gpu(stream) and "CUDA" in str(error)):
            raise
        raise UserError(
            f"loader dali on {stream.device}: DALI finds no CUDA driver: use --loader reference, or train on the CPU "
            "(--gpus-per-worker 0)"
        ) from error


def _on_gpu(stream: SampleStream) -> bool:
    return stream.device.type == "cuda"


def _pipeline(stream: SampleStream, **options: int) -> Any:
    device_id = (stream.device.index or 0) if _on_gpu(stream) else None  # None: DALI looks for no GPU or driver
    return Pipeline(batch_size=stream.batch_size, num_threads=stream.threads, device_id=device_id, **options)


def _decode(stream: SampleStream, size: int | None, encoded: Any) -> Any:
    """Decode encoded bytes to (H, W, 3) uint8 RGB, resized to (size, size, 3) if `size` is given.

    A resize to the image's own size would change nothing and take three times as long as decoding.
    """
    image = fn.decoders.image(encoded, device="mixed" if _on_gpu(stream) else "cpu", output_type=types.RGB)
    if size is None:
        return image
    return fn.resize(image, size=(size, size), interp_type=types.INTERP_LINEAR, antialias=True)


def _build_decoder(stream: SampleStream, size: int | None) -> Any:
    """Build a pipeline that only decodes: encoded bytes, fed by name, to pixels on the host."""
    with _pipeline(stream, prefetch_queue_depth=1) as pipeline:
        pipeline.set_outputs(_decode(stream, size, fn.external_source(name=_ENCODED)).cpu())
    pipeline.build()
    return pipeline


def _build_loader(stream: SampleStream, size: int | None, decoder: Any) -> Any:
    """Build the pipeline from `_feed` to photos (and sketches), (N, 3, S, S) float32 in [-1, 1], and positions."""
    num_images, num_parameters = 1 + stream.paired, 4 + stream.warps + stream.recolours
    layouts = ["HWC" if stream.cache else ""] * num_images + [""] * num_parameters
    with _pipeline(stream) as pipeline:
        inputs = iter(fn.external_source(_feed(stream, decoder), num_outputs=len(layouts), layout=layouts))
        images = [next(inputs) for _ in range(num_images)]
        position, x, y, mirror = (next(inputs) for _ in range(4))
        warp = next(inputs) if stream.warps else None
        colour = next(inputs) if stream.recolours else None
        for index, image in enumerate(images):
            if not stream.cache:
                image = _decode(stream, size, image)
            elif _on_gpu(stream):
                image = image.gpu()
            if warp is not None:
                # Without a fill value edge pixels are repeated outside the image.
                image = fn.warp_affine(image, matrix=warp, interp_type=types.INTERP_LINEAR)
            if colour is not None and index == 0:
                image = fn.coord_transform(image, MT=colour, dtype=types.UINT8)
            images[index] = fn.crop_mirror_normalize(
                image,
                crop=(stream.image_size, stream.image_size),
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


def _feed(stream: SampleStream, decoder: Any) -> Iterator[tuple[list[Array] | Array, ...]]:
    """Yield the loader's inputs for each batch: photos, sketches, position, crop, mirror and the options that are on.

    decoder: if given, images are pixels that it decoded at their first use, instead of encoded bytes. The pixels are
    those that the loader itself would decode, so caching changes no bit.
    """
    max_offset = max(1, stream.load_size - stream.image_size)
    pixels: dict[str, Array] = {}

    def load(names: Sequence[str]) -> list[Array]:
        if decoder is None:
            return [read_encoded(stream.root, name) for name in names]
        missing = [name for name in names if name not in pixels]
        if missing:
            decoder.feed_input(_ENCODED, [read_encoded(stream.root, name) for name in missing])
            (images,) = _outputs(decoder, stream, missing)
            pixels.update((name, np.array(images.at(number))) for number, name in enumerate(missing))
        return [pixels[name] for name in names]

    for positions in stream.batches():
        augmentations = [stream.augmentation_at(position) for position in positions]
        inputs: list[list[Array] | Array] = [
            *map(load, zip(*map(stream.files_at, positions), strict=True)),
            np.array(positions, np.int64),
            # DALI multiplies these fractions by `max_offset` and rounds to a pixel.
            np.array([augmentation.x / max_offset for augmentation in augmentations], np.float32),
            np.array([augmentation.y / max_offset for augmentation in augmentations], np.float32),
            np.array([augmentation.mirror for augmentation in augmentations], np.int32),
        ]
        if stream.warps:
            inputs.append(np.array([augmentation.warp() for augmentation in augmentations], np.float32))
        if stream.recolours:
            inputs.append(np.array([augmentation.colour() for augmentation in augmentations], np.float32))
        yield tuple(inputs)


def _outputs(pipeline: Any, stream: SampleStream, names: Sequence[str]) -> Any:
    """Run the pipeline once; `names` are its files, and UserError is raised if one of them is damaged."""
    try:
        return pipeline.run(torch.cuda.current_stream(stream.device) if _on_gpu(stream) else None)
    except RuntimeError:
        for name in names:  # DALI does not report which file it could not decode
            read_dataset_image(stream.root, name)
        raise


def _run(pipeline: Any, stream: SampleStream) -> Iterator[Batch]:
    """Yield DALI's outputs as torch tensors without a copy; DLPack keeps their memory as long as the tensors live."""
    for expected in stream.batches():
        names = [name for position in expected for name in stream.files_at(position)]
        *images, position = (from_dlpack(output.as_tensor()) for output in _outputs(pipeline, stream, names))
        assert position.tolist() == list(expected), "DALI gave a batch out of order"
        yield stream.make_batch(expected, images)
