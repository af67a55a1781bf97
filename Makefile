# make demo | test | bench | docs | lint: each creates .venv when it is not there and reuses it after that.
VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench docs clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

# One stamp an extra: a second run finds it newer than the files it depends on and starts at once.
$(VENV)/.%-installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not there; Python 3.11 or newer is needed (make PYTHON=...)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Python 3.11 or newer is needed, this is $$($(PYTHON) -V)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing twofold[$*] into $(VENV) (first run only) ..." >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	@touch $@

demo: $(VENV)/.all-installed ## recover a photograph and a sensor matrix, and write a report
	@$(BIN)/twofold demo

test: $(VENV)/.test-installed $(VENV)/.lint-installed ## lint, then the tests, file by file on up to four cores
	@$(MAKE) --no-print-directory lint
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: $(VENV)/.test-installed $(VENV)/.lint-installed ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.bench-installed ## the benchmarks, into benchmarks/results (hours; they go on where they were stopped)
	@$(BIN)/twofold benchmark --out benchmarks/results

docs: $(VENV)/.docs-installed ## the documentation, into docs/_build/html (its examples run: five minutes)
	@PYTHONPATH=docs $(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@$(BIN)/python docs/check_links.py docs/_build/html
	@echo "Open docs/_build/html/index.html"

clean: ## remove what make made
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache twofold-demo docs/_build docs/generated docs/gallery
