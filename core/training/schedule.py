"""The learning rate, and the one function that says what is due. Progress counts images, not steps."""

from limner.core.config import OptimizerConfig


def due(before: int, after: int, every: int) -> bool:
    """Whether a step from `before` to `after` images reached or crossed a multiple of `every`; never for 0."""
    return every > 0 and after // every > before // every


def learning_rate(config: OptimizerConfig, seen_images: int, epoch_images: int, epochs: int) -> float:
    """Constant, then linear to zero over the last `lr_decay_epochs` (Isola et al.'s PyTorch port, by image)."""
    decay_images = config.lr_decay_epochs * epoch_images
    left = epochs * epoch_images - seen_images
    return config.lr * min(1.0, max(0.0, left / decay_images)) if decay_images else config.lr
