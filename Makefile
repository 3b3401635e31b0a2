# The two commands of a fresh clone are `make demo` and `make test`; both install first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP_OPTIONS ?=

.PHONY: install demo test check

install: $(VENV)/.installed

# Constraints pin what the tests ran with. PIP_OPTIONS can name another index, for example one with CPU builds of torch.
$(VENV)/.installed: pyproject.toml setup.py constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_OPTIONS) --editable '.[test,dev]'
	touch $@

# The same commands as in the README, on portraits that the model has not seen; a second time resumes the first.
demo: install
	$(BIN)/limner train --run demo/run
	$(BIN)/limner prepare synthetic --count 24 --seed 1 --size 143 --test-fraction 0.5 --out demo/portraits
	$(BIN)/limner evaluate --model demo/run --data demo/portraits --out demo/evaluation
	$(BIN)/limner translate demo/portraits/photo --model demo/run --style soft --compare --out demo/sketches
	rm -rf demo/engine
	$(BIN)/limner build --model demo/run --data demo/portraits --out demo/engine
	$(BIN)/limner bench infer --model demo/run --engine demo/engine --batch 1 8 --quick --out demo/results
	@echo
	@echo "In demo/: run/samples (photo, generated and real sketch, by epoch), evaluation/report.html, sketches/sheets (before and after),"
	@echo "run/model (the model), engine (compiled, compared with the model), results (the speed of both)."
	@echo "This model knows rendered portraits only. For your own photos:  $(BIN)/limner translate PHOTO --model portrait-sketch"
	@echo "Training curves:  $(BIN)/tensorboard --logdir demo/run"

test: install
	$(BIN)/python -m pytest

# mypy follows folders, not __path__: it sees the package as installing lays it out, by links.
TYPES := .types/limner

check: install
	mkdir -p $(TYPES)
	ln -sfn $(addprefix ../../,core data_pipeline distributed deploy benchmarks $(wildcard limner/*.py) limner/commands limner/py.typed) $(TYPES)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPES) scripts tests
	$(BIN)/python -m pytest --quiet tests/test_architecture.py
