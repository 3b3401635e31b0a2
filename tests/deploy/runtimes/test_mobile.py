"""Engines for phones: image by image, styles one-hot, compared with their bundle."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto

from limner.core.bundle import save_bundle
from limner.core.util.errors import UserError
from limner.deploy.backends import BACKENDS, load_builder
from limner.deploy.build import build
from limner.deploy.engine import open_engine
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.single import single_images
from tests.deploy.conftest import bundle_config

Case = Callable[[str], tuple[Any, Any, ModelProto]]
MOBILE: dict[str, set[str]] = {"ncnn": {"model.ncnn.param", "model.ncnn.bin"}, "executorch": {"model.pte"}}


def skip_without(backend: Any) -> None:
    if find_spec(BACKENDS[backend].package) is None:
        pytest.skip(BACKENDS[backend].install)


@pytest.mark.parametrize("name", ["styled", "resnet"])
@pytest.mark.parametrize(("backend", "precision"), [("ncnn", "fp32"), ("ncnn", "fp16"), ("executorch", "fp32")])
def test_engines_for_phones(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: Any, precision: Any, name: str
) -> None:
    skip_without(backend)
    generator, signature, graph = case(name)
    monkeypatch.setattr("limner.deploy.graph.assemble.export_onnx", lambda generator, signature: graph)
    monkeypatch.setattr("limner.deploy.build.measure_latency", lambda engine, eager, inputs: None)
    save_bundle(tmp_path / "model", generator, bundle_config(name))
    manifest = build(
        tmp_path / "model", tmp_path / "engine", BuildOptions(backend, precision, (1, 1, 2)), lambda line: None
    )
    assert manifest.parity is not None
    assert set(manifest.files) == {"model.onnx", *MOBILE[backend]}
    photos = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with open_engine(tmp_path / "engine") as engine:
        if signature.styles:
            both = engine.infer(photos[[0, 0]], np.array([0, 1]))
            assert (both[0] != both[1]).any()
        else:
            assert engine.infer(photos).shape == photos.shape


@pytest.mark.parametrize("backend", MOBILE)
def test_precisions_that_a_backend_lacks(backend: Any) -> None:
    skip_without(backend)
    with pytest.raises(UserError, match=rf"precision int8: {backend} engines are built in"):
        load_builder(backend).make_builder(backend, BuildOptions()).check_precision("int8")


def test_networks_take_styles_as_numbers_and_one_hot(case: Case) -> None:
    generator, signature, _ = case("styled")
    inputs = {"photo": np.zeros((2, 3, 64, 64), np.float32), "style": np.array([2, 0])}
    numbers = generator(*map(torch.from_numpy, inputs.values()))
    for number, image in zip(numbers, single_images(signature, inputs), strict=True):
        torch.testing.assert_close(generator(*map(torch.from_numpy, image))[0], number)
