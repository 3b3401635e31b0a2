"""All of a run that must survive a crash, in one object."""

from typing import Any

import torch

from limner.core.bundle import BundleConfig
from limner.core.networks.generator import Generator
from limner.core.networks.generators import STATISTICS
from limner.core.training.step import TrainingStep
from limner.core.util.errors import UserError


class TrainingState:
    """Networks, averages, optimizers, scalers, the objective's own state, counters and this rank's random generators.

    The learning-rate schedule and the loader are functions of `seen_images`, so that number is their whole state.
    """

    def __init__(self, step: TrainingStep, device: torch.device) -> None:
        self.step = step
        self.device = device
        self.seen_images = 0
        """Images that the whole job has learned from."""

    def rng_state(self) -> dict[str, torch.Tensor]:
        """The random generators of this process, which dropout uses."""
        state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_rng_state(self, state: dict[str, torch.Tensor]) -> None:
        """Restore what `rng_state` gave."""
        torch.set_rng_state(state["cpu"])
        if self.device.type == "cuda" and "cuda" in state:
            torch.cuda.set_rng_state(state["cuda"], self.device)

    def state_dict(self, rng_states: list[dict[str, torch.Tensor]]) -> dict[str, Any]:
        """Everything, with the random generators of every rank as gathered by the caller."""
        step = self.step
        return {
            "networks": {name: trained.network.state_dict() for name, trained in step.networks.items()},
            "averages": {name: average.network.state_dict() for name, average in step.averages.items()},
            "optimizers": {name: trained.optimizer.state_dict() for name, trained in step.networks.items()},
            "precision": {"name": step.precision.name, "scalers": step.precision.state_dict()},
            "objective": step.objective.state_dict(),
            "seen_images": self.seen_images,
            "rng": rng_states,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave, all but the random generators; keys and shapes must match exactly."""
        step = self.step
        for name, trained in step.networks.items():
            trained.network.load_state_dict(state["networks"][name], strict=True)
            trained.optimizer.load_state_dict(state["optimizers"][name])
        for name, average in step.averages.items():
            average.network.load_state_dict(state["averages"][name], strict=True)
        step.precision.load_state_dict(state["precision"]["scalers"])
        step.objective.load_state_dict(state["objective"])
        self.seen_images = state["seen_images"]


def inference_generator(state: dict[str, Any], config: BundleConfig) -> Generator:
    """The generator of a saved state as its run bundles it: averaged if the run averages, on the CPU.

    config: the bundle's, which names no network: the one whose weights it has is taken. UserError if none has them.
    """
    generator = config.build()
    known = generator.state_dict().keys()
    for weights in (*state["averages"].values(), *state["networks"].values()):
        if known <= weights.keys() and all(name.endswith(STATISTICS) for name in weights.keys() - known):
            generator.load_state_dict({name: weights[name] for name in known})
            return generator
    raise UserError("the checkpoint has no generator of the architecture in the run's model/config.json")


def upgrade(state: dict[str, Any]) -> dict[str, Any]:
    """The state of a format 1 checkpoint, which knew one generator and one discriminator, as `state_dict` gives it."""
    names = ("generator", "discriminator")
    return {
        "networks": {name: state[name] for name in names},
        "averages": {"generator": state["ema"]} if state["ema"] is not None else {},
        "optimizers": dict(zip(names, state["optimizers"], strict=True)),
        "precision": state["precision"],
        "objective": {},
        "seen_images": state["seen_images"],
        "rng": state["rng"],
    }
