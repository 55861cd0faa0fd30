# make help lists the targets. Each sets up what it needs, once.
PYTHON ?= python3.11
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format lock clean

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 10

setup: $(READY) ## Make the virtual environment and fetch the jars

$(READY): requirements.lock pyproject.toml
	@sh scripts/check_tools.sh $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@# uv first, by the same hashes; it then installs all the rest.
	awk '/^uv==/ {found = 1} found {print} found && !/\\$$/ {exit}' requirements.lock > .venv/uv.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement .venv/uv.txt
	$(BIN)/uv pip sync --quiet --require-hashes --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/chiplake setup
	@touch $@

demo: $(READY) ## Make scenes, run the nightly job on them, show chips and changes
	$(BIN)/chiplake demo

test: $(READY) lint ## Lint, then run all tests
	$(BIN)/python -m pytest

lint: $(READY) ## Check style, types and SQL
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/sqlfluff lint --processes 1 models tests/dbt

format: $(READY) ## Rewrite Python in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --all-extras --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --output-file requirements.lock --upgrade pyproject.toml

clean: ## Remove the environment, the lake and all caches
	rm -rf .venv .chiplake target logs
