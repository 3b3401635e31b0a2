import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from limner.commands.doctor import PACKAGES, choose_backend, choose_precision, main
from limner.data_pipeline.loading import choose_loader


def test_the_table_names_everything_and_no_path_of_the_user(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    main([])
    shown = capsys.readouterr().out
    assert all(len(line) <= 80 for line in shown.splitlines())
    words = ("Limner", "Python", "CPU features", "usable of", "memory", "disk", "GPU", "NVIDIA driver", *PACKAGES)
    for word in (*words, "auto training precision", "auto loader", "auto engine backend"):
        assert word in shown
    for path in (str(tmp_path), str(Path.home()), os.environ.get("VIRTUAL_ENV", str(tmp_path))):
        assert path not in shown


def test_json_has_versions_or_null_and_the_reason_of_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["packages"].keys() == PACKAGES.keys()
    assert found["packages"]["torch"] == version("torch")
    assert 1 <= found["cpu"]["usable_cores"] <= found["cpu"]["cores"]
    assert all(auto["why"] for auto in found["auto"].values())


def test_what_is_missing_is_a_finding_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a base installation."""
    for module in ("limner.data_pipeline.dali", "limner.deploy.build"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for package in ("nvidia.dali", "limner.deploy.parity"):
        monkeypatch.setitem(sys.modules, package, None)
    assert choose_loader("auto")[0] == "reference"
    assert choose_loader("auto")[1].startswith("DALI cannot be imported: ")
    assert choose_backend() == (None, "no backend is installed: pip install 'limner[engines]'")


def test_a_backend_whose_package_is_missing_is_no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limner.commands.doctor.find_spec", lambda package: None)
    choice, why = choose_backend()
    assert choice is None
    assert "is not installed: pip install 'limner[" in why


def test_precision_says_which_processor_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    expected = {True: ("bf16", "the CPU computes in bf16"), False: ("fp32", "the CPU has no bf16 arithmetic")}
    for has_bf16, choice in expected.items():
        monkeypatch.setattr("limner.core.training.precision.has_fast_bf16", lambda _, has_bf16=has_bf16: has_bf16)
        assert choose_precision() == choice
