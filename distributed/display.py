"""A run's progress for people."""

from types import TracebackType

from limner.core.training.loop import Progress
from limner.core.util.log import show_log
from limner.core.util.progress import ProgressDisplay

NOTES = (
    ("L1", "loss/l1", ".3f"),
    ("G", "loss/generator", ".2f"),
    ("D", "loss/discriminator", ".3f"),
    ("images/s", "images_per_s", ".1f"),
)
"""Label, name in the progress's values and format of what is shown, the most telling first."""


class RunDisplay:
    """Shows a run's progress and its log lines while it is entered."""

    def __enter__(self) -> "RunDisplay":
        show_log()  # in a spawned worker's process nobody has yet
        self._display = ProgressDisplay("images").__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.__exit__(kind, error, trace)

    def show(self, progress: Progress) -> None:
        """Show how far the run is now."""
        notes = [f"{label} {progress.values[name]:{form}}" for label, name, form in NOTES if name in progress.values]
        self._display.update(progress.seen_images, progress.total_images, f"epoch {progress.epoch:.1f}", notes)
