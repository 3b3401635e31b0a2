"""All of a run that must survive a crash, in one object."""

from typing import Any

import torch

from limner.core.training.step import TrainingStep


class TrainingState:
    """Networks, average, optimizers, scalers, counters and this rank's random generators.

    The learning-rate schedule and the loader are functions of `seen_images`, so that number is their whole state.
    """

    def __init__(self, step: TrainingStep, device: torch.device) -> None:
        self.step = step
        self.device = device
        self.seen_images = 0
        """Images that the whole job has learned from."""

    def rng_state(self) -> dict[str, torch.Tensor]:
        """The random generators of this process, which dropout draws from."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_rng_state(self, state: dict[str, torch.Tensor]) -> None:
        """Take back what `rng_state` gave."""
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def state_dict(self, rng_states: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
        """Everything, with the random generators of every rank as gathered by the caller."""
        step = self.step
        return {
            "generator": step.generator.network.state_dict(),
            "discriminator": step.discriminator.network.state_dict(),
            "ema": step.ema.network.state_dict() if step.ema is not None else None,
            "optimizers": [phase.optimizer.state_dict() for phase in (step.generator, step.discriminator)],
            "precision": {"name": step.precision.name, "scalers": step.precision.state_dict()},
            "seen_images": self.seen_images,
            "rng": rng_states,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave, all but the random generators; keys and shapes must match exactly."""
        step = self.step
        step.generator.network.load_state_dict(state["generator"], strict=True)
        step.discriminator.network.load_state_dict(state["discriminator"], strict=True)
        if step.ema is not None:
            step.ema.network.load_state_dict(state["ema"], strict=True)
        phases = (step.generator, step.discriminator)
        for phase, values in zip(phases, state["optimizers"], strict=True):
            phase.optimizer.load_state_dict(values)
        step.precision.load_state_dict(state["precision"]["scalers"])
        self.seen_images = state["seen_images"]
