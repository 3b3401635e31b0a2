from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import ModelProto
from torch import nn

from limner.core.signature import Signature
from limner.core.util.errors import LimnerError, UserError
from limner.deploy.batch_profile import BatchProfile
from limner.deploy.build import build
from limner.deploy.graph.half import to_half
from limner.deploy.inputs import random_inputs
from limner.deploy.manifest import read_manifest
from limner.deploy.options import BuildOptions
from limner.deploy.trt import runner, torch_trt
from limner.deploy.trt.builder import manifest_options
from limner.deploy.trt.options import TensorRTOptions
from limner.deploy.trt.torch_trt import FloatPorts, compile_options, export_program, half_module, open_runtime
from tests.deploy.conftest import CONFIGS

GetCase = Callable[[str], tuple[nn.Module, Signature, ModelProto]]


@pytest.mark.parametrize("name", CONFIGS)
def test_half_module_is_the_twin_of_the_half_graph(case: GetCase, name: str) -> None:
    generator, signature, graph = case(name)
    half = half_module(generator)
    assert {weight.dtype for key, weight in half.named_parameters() if ".norm." not in key} == {torch.float16}
    assert next(generator.parameters()).dtype == torch.float32
    inputs = random_inputs(signature, 2, seed=5)
    generated = FloatPorts(half)(*inputs.values()).numpy()
    assert generated.dtype == np.float32
    session = onnxruntime.InferenceSession(to_half(graph).SerializeToString(), providers=["CPUExecutionProvider"])
    of_graph = session.run(None, {key: value.numpy() for key, value in inputs.items()})[0]
    np.testing.assert_allclose(generated, of_graph, atol=0.02)
    assert np.abs(generated - generator(*inputs.values()).numpy()).max() > 0.0


def test_a_float_module_may_stand_behind_the_ports_too(case: GetCase) -> None:
    generator, signature, _ = case("styled")
    inputs = random_inputs(signature, 2, seed=5).values()
    torch.testing.assert_close(FloatPorts(generator)(*inputs), generator(*inputs))


@pytest.mark.parametrize("batch", [(1, 8, 32), (1, 1, 1), (4, 4, 4), (3, 4, 8), (1, 1, 2), (2, 2, 3)])
def test_the_exported_program_takes_every_batch(case: GetCase, batch: tuple[int, int, int]) -> None:
    """The program as build() exports it, on the CPU; the compiler behind it needs a GPU."""
    generator, signature, _ = case("styled")
    program, examples, _ = export_program(FloatPorts(generator), signature, BatchProfile(*batch))
    assert batch[0] <= len(examples[0]) <= batch[2]
    for size in (batch[0], batch[2]):
        inputs = random_inputs(signature, size, seed=1).values()
        torch.testing.assert_close(program.module()(*inputs), generator(*inputs))


def test_what_the_exporter_refuses_comes_with_its_message(case: GetCase) -> None:
    class Branching(nn.Module):
        def __init__(self, generator: nn.Module) -> None:
            super().__init__()
            self.generator = generator

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            image: torch.Tensor = self.generator(x)
            return image if image.mean() > 0.0 else -image

    generator, signature, _ = case("instance")
    with pytest.raises(LimnerError, match=r"torch.export .* does not take the generator: \S[^\n]*$"):
        export_program(FloatPorts(Branching(generator)), signature, BatchProfile(1, 2, 4))


def test_options_become_keywords() -> None:
    plain = compile_options(TensorRTOptions())
    assert plain["require_full_compilation"]
    assert plain["immutable_weights"]
    assert plain["disable_tf32"]
    assert "timing_cache_path" not in plain
    assert not compile_options(TensorRTOptions(refit=True))["immutable_weights"]
    assert compile_options(TensorRTOptions(hardware="ampere-plus"))["hardware_compatible"]
    with pytest.raises(UserError, match="torch-tensorrt has this and ampere-plus"):
        compile_options(TensorRTOptions(hardware="same-compute-capability"))


def test_the_timing_caches_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "caches" / "gpu"
    assert compile_options(TensorRTOptions(timing_cache=path))["timing_cache_path"] == str(path)
    assert path.parent.is_dir()


@pytest.mark.parametrize(
    ("version", "gpu", "message"),
    [
        ("2.13.0", "GPU A", r"built by torch-tensorrt 2.11.0, here is 2.13.0: build it again, or install 2.11.0$"),
        ("2.11.0", "GPU B", r"built for GPU A, here is GPU B: build it again on this machine$"),
    ],
)
def test_programs_of_elsewhere(
    engine_directory: Path, monkeypatch: pytest.MonkeyPatch, version: str, gpu: str, message: str
) -> None:
    monkeypatch.setattr(torch_trt, "load_package", lambda backend: SimpleNamespace(__version__=version))
    monkeypatch.setattr(runner, "check_driver", lambda backend: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: gpu)
    manifest = replace(
        read_manifest(engine_directory),
        backend="torch-tensorrt",
        backend_version="2.11.0",
        device="GPU A",
        options=manifest_options(TensorRTOptions(version_compatible=True)),
    )
    with pytest.raises(UserError, match=message):
        open_runtime(engine_directory, manifest, manifest.options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_compiled_program_is_the_same_generator(bundle: Path, tmp_path: Path, precision: Any, bare: bool) -> None:
    pytest.importorskip("torch_tensorrt")
    out = tmp_path / "engine"
    options = BuildOptions("torch-tensorrt", precision, (1, 4, 8), tensorrt=TensorRTOptions(bare=bare))
    build(bundle, out, options, lambda line: None)
    assert isinstance(read_manifest(out).parity, dict)
