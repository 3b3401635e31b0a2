"""The folders at the top of the tree are the subpackages of `limner`: core/ is limner.core, and so on."""

from setuptools import find_packages, setup

MODELS = "limner.models"
"""Data only: the models that come with Limner."""
FOLDERS = ("core", "data_pipeline", "distributed", "deploy", "benchmarks")

subpackages = find_packages(include=[pattern for folder in FOLDERS for pattern in (folder, f"{folder}.*")])
setup(
    packages=[*find_packages(include=["limner", "limner.*"]), *(f"limner.{name}" for name in subpackages), MODELS],
    package_dir={f"limner.{folder}": folder for folder in FOLDERS} | {MODELS: "models"},
    package_data={"limner": ["py.typed"], "limner.deploy.runtimes": ["*.cjs"], MODELS: ["portrait-sketch/*"]},
)
