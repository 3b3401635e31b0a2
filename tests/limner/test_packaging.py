"""What an installed user gets: one package, one command, and dependencies in steps."""

import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

from limner.core.util.machine import version_of

ROOT = Path(__file__).parents[2]
SOURCES = ("benchmarks", "core", "data_pipeline", "deploy", "distributed", "limner", "scripts", "tests")
SHIPPED = "models/portrait-sketch"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy of the sources, since building leaves files next to them."""
    found = version_of("setuptools")  # importing it here would clash with a distutils that is loaded already
    if version_of("pip") is None or found is None or int(found.partition(".")[0]) < 77:
        pytest.skip("needs pip and setuptools 77 here, as the wheel is built without the network")
    copy = tmp_path_factory.mktemp("copy")
    for name in (*SOURCES, SHIPPED):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheels"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = (copy / "wheels").iterdir()
    return zipfile.ZipFile(path)


def test_a_wheel_has_one_package_and_all_of_it(wheel: zipfile.ZipFile) -> None:
    files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in files} == {"limner"}
    front = {f"limner/{path.relative_to(ROOT / 'limner').as_posix()}" for path in (ROOT / "limner").rglob("*.py")}
    rooms = [path for folder in SOURCES[:5] for path in (ROOT / folder).rglob("*.py")]
    assert len(rooms) >= 100
    shipped = {f"{SHIPPED}/{path.name}" for path in (ROOT / SHIPPED).iterdir()}
    data = {"py.typed", "deploy/runtimes/onnx_web.cjs", *shipped}
    modules = {path.relative_to(ROOT).as_posix() for path in rooms}
    assert files == front | {f"limner/{name}" for name in modules | data}


def test_it_brings_the_command(wheel: zipfile.ZipFile) -> None:
    (entry_points,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "limner = limner.cli:run" in wheel.read(entry_points).decode()


def test_the_base_is_what_a_bundle_needs_and_extras_bring_the_rest(wheel: zipfile.ZipFile) -> None:
    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    headers = Parser().parsestr(wheel.read(metadata).decode())
    required = [line for line in headers.get_all("Requires-Dist") or () if "extra ==" not in line]
    names = {line.partition(">")[0].partition("<")[0].strip() for line in required}
    assert names == {"torch", "numpy", "pillow", "opencv-python-headless", "safetensors", "tyro", "rich"}
    extras = {"train", "engines", "gpu", "bench", "all", "test", "dev"}
    assert set(headers.get_all("Provides-Extra") or ()) >= extras


def test_what_an_error_tells_to_install_exists(wheel: zipfile.ZipFile) -> None:
    from limner.commands.doctor import PACKAGES
    from limner.core.util.errors import EXTRAS

    (metadata,) = (name for name in wheel.namelist() if name.endswith("METADATA"))
    provided = set(Parser().parsestr(wheel.read(metadata).decode()).get_all("Provides-Extra") or ())
    told = set(EXTRAS.values()) | {need[7:-1] for _, need in PACKAGES.values() if need.startswith("limner[")}
    assert told <= provided
