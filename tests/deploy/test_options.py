import pytest

from limner.core.util.errors import UserError
from limner.deploy.options import BuildOptions
from limner.deploy.runtimes.options import CpuOptions
from limner.deploy.trt.build_engine import Command
from limner.deploy.trt.options import TensorRTOptions


def test_given_options_are_those_that_differ_from_their_default() -> None:
    assert BuildOptions().given() == []
    options = BuildOptions("openvino", hint="latency", threads=0, tensorrt=TensorRTOptions(tf32=True, workspace_gb=1.0))
    assert options.given() == ["backend", "threads", "hint", "tensorrt.workspace-gb", "tensorrt.tf32"]
    assert Command(model="model", out="out", pixels=True).given() == ["pixels"]


def test_cpu_options_have_defaults_for_what_is_left_out() -> None:
    assert BuildOptions().cpu == CpuOptions(threads=0, hint="latency")
    assert BuildOptions(threads=3, hint="throughput").cpu == CpuOptions(3, "throughput")
    with pytest.raises(UserError, match=r"threads -2: must be 0 \(the runtime chooses\) or more"):
        _ = BuildOptions(threads=-2).cpu
