"""Open a training loader: DALI or OpenCV, with the same batches."""

import logging
from collections.abc import Iterator

from limner.core.batch import Batch
from limner.core.config import LoaderKind
from limner.core.util.errors import UserError
from limner.data_pipeline.reference import open_reference
from limner.data_pipeline.stream import SampleStream

__all__ = ["SampleStream", "open_loader"]

_log = logging.getLogger("limner")


def open_loader(kind: LoaderKind, stream: SampleStream) -> Iterator[Batch]:
    """Yield the batches of `stream`, endlessly; photo, sketch and style are on `stream.device`, position on the CPU.

    kind: `auto` takes DALI if it can be imported, else the reference loader, and logs which.
    Raises UserError if `dali` is requested and DALI cannot be imported; `next` raises UserError for an image that is
    missing or damaged.
    """
    if kind == "reference":
        return open_reference(stream)
    try:
        from limner.data_pipeline.dali import open_dali  # heavy, and Linux only
    except ImportError as error:
        if kind == "dali":
            raise UserError(f"loader dali: DALI cannot be imported ({error}): use --loader reference") from None
        _log.info("loader: reference (DALI cannot be imported: %s)", error)
        return open_reference(stream)
    if kind == "auto":
        _log.info("loader: DALI")
    return open_dali(stream)
