"""One door to the training loaders: the same batches from DALI or from OpenCV."""

import logging
from collections.abc import Iterator

from limner.core.batch import Batch
from limner.core.config import LoaderKind
from limner.core.util.errors import UserError
from limner.data_pipeline.reference import open_reference
from limner.data_pipeline.stream import LoaderSpec

__all__ = ["LoaderSpec", "open_loader"]

_log = logging.getLogger("limner")


def open_loader(kind: LoaderKind, spec: LoaderSpec) -> Iterator[Batch]:
    """The batches of `spec`, endlessly: batch k of rank r holds positions start + (k * world + r) * batch_size and on.

    auto: DALI where it can be imported, else the reference loader; which, is logged. Photo, sketch and style are on
    `spec.device`; position, the key of random draws, stays on the CPU.
    Raises UserError where DALI is asked for and cannot be had; a missing or damaged image raises UserError from `next`.
    """
    if kind == "reference":
        return open_reference(spec)
    try:
        from limner.data_pipeline.dali import open_dali  # heavy, and Linux only
    except ImportError as error:
        if kind == "dali":
            raise UserError(f"loader dali: DALI cannot be imported ({error}): use --loader reference") from None
        _log.info("loader: reference (DALI cannot be imported: %s)", error)
        return open_reference(spec)
    if kind == "auto":
        _log.info("loader: DALI")
    return open_dali(spec)
