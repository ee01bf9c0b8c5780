# make help says what there is. PYTHON, VENV, KIND (auto, cuda, cpu, minimal) and ARGS may be given.
PYTHON ?= python3
VENV ?= .venv
KIND ?= auto
BIN := $(VENV)/bin
PACKAGES := agent tools prompts tui evals
SETUP := $(PYTHON) locks/install.py --kind $(KIND) --venv $(VENV)
COMPILE := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --annotation-style line --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test gate lint format bench docs lock clean distclean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv from the lock that fits this machine
	@$(SETUP)

setup-dev: ## The same with the tools for tests and lint
	@$(SETUP) --dev

demo: setup ## Extract the sample corpus with the starter model and show what came out
	@$(BIN)/quorum demo $(ARGS)

test: setup-dev ## Run all tests
	@$(BIN)/python -m pytest $(ARGS)

gate: setup-dev ## Measure the smoke suite anew, fail where it is worse than the committed baseline
	@$(BIN)/quorum eval run smoke --fresh --yes
	@$(BIN)/quorum eval gate latest --baseline smoke --max-drop 2

lint: setup-dev ## Ruff, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup-dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev ## Run the benchmarks, one after the other
	@set -e; for script in benchmarks/[!_]*.py; do echo "== $$script"; $(BIN)/python $$script $(ARGS); done

docs: setup-dev ## Make the generated parts of docs anew
	@$(BIN)/python docs/generate.py

lock: setup-dev ## Resolve the locks anew
	$(COMPILE) pyproject.toml locks/base.in --extra cpu --excludes locks/excludes.txt --upgrade -o locks/cpu.txt
	$(COMPILE) pyproject.toml locks/base.in --excludes locks/excludes.txt -c locks/cpu.txt -o locks/minimal.txt
	$(COMPILE) --group dev --excludes locks/excludes-dev.txt -c locks/cpu.txt -o locks/dev.txt
	$(COMPILE) pyproject.toml locks/base.in --extra cuda --excludes locks/excludes-cuda.txt --no-emit-package torch --upgrade -o locks/cuda.txt

clean: ## Remove caches and build results
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv as well
	rm -rf $(VENV)
