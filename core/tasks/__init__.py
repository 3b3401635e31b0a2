"""One room per task, and the one table of them; nothing outside asks which task a run has."""

from limner.core.tasks.dcgan import DCGANTask
from limner.core.tasks.pix2pix import Pix2PixTask
from limner.core.tasks.task import Task

TASKS: dict[str, Task] = {"pix2pix": Pix2PixTask(), "dcgan": DCGANTask()}
"""By name."""
