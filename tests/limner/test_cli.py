"""The command in processes of its own, as users start it."""

import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

from limner.cli import VERBS
from limner.core.util.options import options_of

ROOT = Path(__file__).parents[2]


def limner(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "limner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ()])
def test_help_lists_the_verbs_with_a_line_each(arguments: tuple[str, ...]) -> None:
    done = limner(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    for verb, (_, about) in VERBS.items():
        assert sum(line.split()[:1] == [verb] and about in line for line in done.stdout.splitlines()) == 1
    expected = {"prepare", "train", "translate", "sample", "evaluate", "build", "bench", "import", "doctor"}
    assert expected <= VERBS.keys()


def test_help_imports_neither_torch_nor_anything_else_that_is_slow() -> None:
    program = (
        "import sys\nfrom limner.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'torch', 'numpy', 'tyro', 'rich', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - {"bench"}))
def test_the_help_of_a_verb_imports_no_torch(verb: str) -> None:
    program = (
        f"import sys\nfrom limner.cli import main\ntry:\n    main(['{verb}', '--help'])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_the_version_is_that_of_the_distribution() -> None:
    assert limner("--version").stdout == f"limner {version('limner')}\n"


def test_an_unknown_verb_is_one_line_with_the_nearest() -> None:
    done = limner("trian")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: unknown command 'limner trian': did you mean train? (allowed: prepare, train,"
    )
    assert done.stderr.count("\n") == 1


def test_the_help_of_a_benchmark_names_the_command() -> None:
    assert "infer" in limner("bench", "--help").stdout
    assert "usage: limner bench data" in limner("bench", "data", "--help").stdout


@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(("limner.commands.translate", "Options"), ("limner.commands.sample", "Options")),
        *(("limner.commands.evaluate", "Options"), ("limner.commands.import_junyanz", "Options")),
        ("limner.deploy.trt.build_engine", "Command"),
        *((f"limner.benchmarks.{name}", "Command") for name in ("infer", "train", "data", "scaling")),
    ],
)
def test_every_option_is_described_and_of_a_type_that_errors_can_name(module: str, name: str) -> None:
    options = list(options_of(getattr(import_module(module), name)))
    assert len(options) >= 4
    for option in options:
        assert option.description, option.name
        assert option.usage
        option.problem(["x", "y", "z"])


@pytest.mark.parametrize(
    ("script", "prog"),
    [
        ("scripts/prepare_data.py", "limner prepare"),
        ("scripts/train.py", "limner train"),
        ("scripts/translate.py", "limner translate"),
        ("scripts/sample.py", "limner sample"),
        ("scripts/evaluate.py", "limner evaluate"),
        ("scripts/import_junyanz.py", "limner import"),
        ("deploy/trt/build_engine.py", "limner build"),
        ("benchmarks/infer.py", "limner bench infer"),
        ("benchmarks/scaling.py", "limner bench scaling"),
    ],
)
def test_each_script_is_its_verb(script: str, prog: str) -> None:
    done = subprocess.run([sys.executable, str(ROOT / script), "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {prog} ")
