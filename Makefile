# `make` lists the targets. `make demo` and `make test` each do all the set-up on a fresh machine
# that has Python 3.11 or newer (PYTHON=… names another one) and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test test-long check bench schema clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/runs: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "imagebatch needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/tests: $(VENV)/runs
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,check]'
	@touch $@

demo: $(VENV)/runs  ## make 24 pictures with the embedded simulator and say where they are
	@$(BIN)/imagebatch run jobs/quickstart.yaml
	@echo "look at them: $(CURDIR)/outputs/quickstart-simulator/images"
	@echo "the command is $(BIN)/imagebatch; 'source $(BIN)/activate' makes it imagebatch"

test: $(VENV)/tests  ## run the tests
	@$(BIN)/python -m pytest -n 2 $(ARGS)

test-long: $(VENV)/tests  ## run every test, the long fault sweeps included
	@$(BIN)/python -m pytest -n 2 -m "long or not long" --timeout 1200 $(ARGS)

check: $(VENV)/tests  ## lint, types, and the import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/tests  ## measure all that benchmarks/README.md tells; hours, on a quiet machine
	@for one in startup stalls where makespan 'makespan --http' scale cost; do \
		set -- $$one; $(BIN)/python benchmarks/$$1.py $$2 --write || exit; done

schema: $(VENV)/runs  ## write the JSON Schemas anew
	@$(BIN)/imagebatch schema job > pipeline/schema/job.json
	@$(BIN)/imagebatch schema provider > pipeline/schema/provider.json

clean:  ## remove what was built, the environment included
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
