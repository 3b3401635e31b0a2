import pytest
import torch

from limner.benchmarks import environment
from limner.benchmarks.environment import command_line, hardware

CPU = torch.device("cpu")


@pytest.mark.parametrize(("bf16", "name"), [(False, "amd-epyc-2c"), (True, "amd-epyc-2c-bf16")])
def test_cpus_of_two_generations_are_two_machine_classes(
    monkeypatch: pytest.MonkeyPatch, bf16: bool, name: str
) -> None:
    monkeypatch.setattr(environment, "cpu_name", lambda: "AMD EPYC (some model)")
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(environment, "has_fast_bf16", lambda device: bf16)
    assert hardware(CPU) == name


def test_a_command_line_repeats_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert command_line("data", ["--out", "my results"]) == "limner bench data --out 'my results'"
    monkeypatch.setattr("sys.argv", ["benchmarks/data.py", "--quick"])
    assert command_line("data", None) == "limner bench data --quick"
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    assert command_line("data", []) == "OMP_WAIT_POLICY=PASSIVE limner bench data"
