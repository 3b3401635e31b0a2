"""Open a training loader: DALI or OpenCV, with the same batches."""

from collections.abc import Iterator
from importlib import import_module
from typing import Literal

from limner.core.batch import Batch
from limner.core.config import LoaderKind
from limner.core.util.errors import UserError
from limner.core.util.log import log
from limner.data_pipeline.reference import open_reference
from limner.data_pipeline.stream import SampleStream

__all__ = ["SampleStream", "choose_loader", "open_loader"]


def choose_loader(kind: LoaderKind) -> tuple[Literal["dali", "reference"], str]:
    """Return the loader that `kind` means on this machine, and why.

    Raises UserError if `dali` is requested and DALI cannot be imported.
    """
    if kind == "reference":
        return "reference", "it is requested"
    try:
        import_module("limner.data_pipeline.dali")  # heavy, and Linux only
    except ImportError as error:
        if kind == "dali":
            raise UserError(f"loader dali: DALI cannot be imported ({error}): use --loader reference") from None
        return "reference", f"DALI cannot be imported: {error}"
    return "dali", "DALI can be imported"


def open_loader(kind: LoaderKind, stream: SampleStream) -> Iterator[Batch]:
    """Yield the batches of `stream`, endlessly; photo, sketch and style are on `stream.device`, position on the CPU.

    kind: `auto` takes DALI if it can be imported, else the reference loader, and logs which.
    Raises UserError if `dali` is requested and DALI cannot be imported; `next` raises UserError for an image that is
    missing or damaged.
    """
    name, reason = choose_loader(kind)
    if kind == "auto":
        log.info("loader: DALI" if name == "dali" else f"loader: reference ({reason})")
    if name == "reference":
        return open_reference(stream)
    from limner.data_pipeline.dali import open_dali

    return open_dali(stream)
