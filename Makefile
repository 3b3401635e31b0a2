# The two commands of a fresh clone are `make demo` and `make test`; both install first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP_OPTIONS ?=

.PHONY: install demo test check

install: $(VENV)/.installed

# Constraints pin what the tests ran with. PIP_OPTIONS can name another index, for example one with CPU builds of torch.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_OPTIONS) --editable '.[test,dev]'
	touch $@

demo: install
	$(BIN)/python scripts/demo.py

test: install
	$(BIN)/python -m pytest

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy core data_pipeline distributed deploy benchmarks scripts tests
	$(BIN)/python -m pytest --quiet tests/test_architecture.py
