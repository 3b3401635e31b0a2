"""A task that exists in this file only: it trains, resumes, exports, becomes an engine and is evaluated.

What docs/extending.md says of a new task, done: nothing in distributed/, deploy/ or scripts/ knows of it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from limner.core.batch import Batch
from limner.core.bundle import BundleConfig, load_bundle_config, load_generator
from limner.core.config import CadenceConfig, LaunchConfig, TrainConfig
from limner.core.networks.generator import Generator
from limner.core.networks.generators import GENERATORS, GeneratorKind
from limner.core.signature import Port, Signature
from limner.core.spec import RunSpec
from limner.core.tasks import TASKS
from limner.core.tasks.pix2pix.metrics import VALIDATION_METRICS
from limner.core.tasks.pix2pix.validation import PairValidator
from limner.core.tasks.task import DataFacts, Preset, Validation, ValidationPlan
from limner.core.training.checkpoint import load_newest
from limner.core.training.model import Model
from limner.core.training.objective import Losses, Networks, Objective, Phase
from limner.data_pipeline.index import load_dataset


@dataclass(frozen=True)
class ToneConfig:
    """A generator that only changes tones."""

    kind: Literal["tone"] = "tone"
    styles: int = 0

    def signature(self, image_size: int) -> Signature:
        port = Port("photo", (3, image_size, image_size), "float32")
        return Signature((port,), replace(port, name="image"))

    def inference(self) -> "ToneConfig":
        return self


class Tone(Generator):
    """A 1x1 convolution."""

    def __init__(self, config: ToneConfig, image_size: int) -> None:
        super().__init__()
        self.config = config  # type: ignore[assignment]
        self.layer = nn.Conv2d(3, 3, 1)

    def forward(self, photo: Tensor, style: Tensor | None = None) -> Tensor:
        return torch.tanh(self.layer(photo))


@dataclass(frozen=True)
class ToyConfig(TrainConfig):
    """A run of the toy task."""

    generator: ToneConfig = field(default_factory=ToneConfig)


class ToyObjective(Objective):
    """L1 alone, a regulariser on the generator every other step, and a state: how many batches were seen."""

    def __init__(self) -> None:
        self.phases = (Phase("painter", self.l1, regulariser=self.weight_norm, interval=2),)
        self.seen = torch.zeros((), dtype=torch.int64)

    def generate(self, networks: Networks, batch: Batch) -> Tensor:
        fake: Tensor = networks["painter"](batch.photo)
        return fake

    def l1(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        assert batch.sketch is not None
        self.seen += 1
        loss = (fake - batch.sketch).abs().mean()
        return loss, {"loss/l1": loss}

    def weight_norm(self, networks: Networks, batch: Batch, fake: Tensor) -> Losses:
        penalty = 1e-3 * networks["painter"].get_parameter("layer.weight").square().sum()
        return penalty, {"penalty/weights": penalty}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen.copy_(state["seen"])


class ToyValidator(PairValidator):
    """Pix2pix's, with this task's name for its generator."""

    def _generate(self, generators: Mapping[str, nn.Module], batch: Batch) -> Tensor:
        return super()._generate({"generator": generators["painter"]}, batch)


class ToyTask:
    """The row of TASKS."""

    name = "toy"
    config = ToyConfig
    presets: Mapping[str, Preset] = {"demo": Preset(ToyConfig(image_size=64, epochs=2), "A test.")}
    paired = True
    metrics = VALIDATION_METRICS

    def label(self, config: ToyConfig) -> None:
        return None

    def resolve(self, config: ToyConfig, data: DataFacts) -> ToyConfig:
        return config

    def validation(self, config: ToyConfig) -> ValidationPlan:
        return ValidationPlan(("val", "train"), count=4, batch_size=2)

    def build(self, config: ToyConfig, data: DataFacts, validation: Validation, device: torch.device) -> Model:
        torch.manual_seed(config.seed)
        bundle = BundleConfig("toy", config.image_size, data.fit, (), config.generator)  # type: ignore[arg-type]
        return Model(
            {"painter": Tone(config.generator, config.image_size)},
            ToyObjective(),
            ToyValidator(validation, device),
            {"model": ("painter", bundle)},
        )


@pytest.fixture
def make_toy_spec(tmp_path: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], RunSpec]:
    monkeypatch.setitem(TASKS, "toy", ToyTask())
    monkeypatch.setitem(GENERATORS, "tone", GeneratorKind(ToneConfig, Tone))
    every_image = CadenceConfig(report_images=1)
    config = ToyConfig(image_size=64, epochs=2, precision="fp32", ema_halflife_images=20.0, cadence=every_image)
    launch = LaunchConfig(launcher="local", cpus_per_worker=1, loader="reference")

    def make(name: str) -> RunSpec:
        data_hash = load_dataset(tiny_data).content_hash
        return RunSpec("toy", "demo", config, launch, tmp_path / name, tiny_data, data_hash)

    return make


def test_it_resumes_exactly_with_its_objectives_state(
    make_toy_spec: Callable[[str], RunSpec],
    train: Callable[..., bool],
    remains: Callable[[Path], dict[str, Any]],
) -> None:
    straight, stopped = make_toy_spec("straight"), make_toy_spec("stopped")
    assert train(straight)
    assert not train(stopped, stop_at=11)
    assert train(stopped)
    assert remains(stopped.run) == remains(straight.run)
    state, _ = load_newest(straight.run / "checkpoints")
    assert state is not None
    assert state["objective"] == {"seen": torch.tensor(22)}
    assert set(state["networks"]) == {"painter"}
    assert (straight.run / "samples" / "epoch_0002.png").is_file()


def test_its_bundle_loads_and_becomes_an_engine(
    make_toy_spec: Callable[[str], RunSpec], train: Callable[..., bool], tmp_path: Path
) -> None:
    from limner.deploy.build import build
    from limner.deploy.engine import open_bundle, open_engine
    from limner.deploy.options import BuildOptions

    spec = make_toy_spec("run")
    assert train(spec)
    model = spec.run / "model"
    assert load_bundle_config(model).generator == ToneConfig()  # type: ignore[comparison-overlap]
    assert isinstance(load_generator(model), Tone)
    build(model, tmp_path / "engine", BuildOptions("openvino", "fp32", (1, 1, 2)), lambda line: None)
    photos = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with open_bundle(model) as bundle, open_engine(tmp_path / "engine") as engine:
        difference = bundle.infer(photos).astype(int) - engine.infer(photos)
    assert np.abs(difference).max() <= 1


def test_it_is_evaluated_and_translates(
    make_toy_spec: Callable[[str], RunSpec], train: Callable[..., bool], tiny_data: Path
) -> None:
    import limner
    from limner.deploy.evaluation.evaluate import evaluate

    spec = make_toy_spec("run")
    assert train(spec)
    with limner.load(spec.run) as model:
        report = evaluate(model, load_dataset(tiny_data), "test", None)
        assert isinstance(model, limner.Translator)
        sketch = model(np.zeros((50, 40, 3), np.uint8))
    assert report.metrics["scores"]["generator"]["l1"] > 0.0
    assert sketch.size == (40, 50)
