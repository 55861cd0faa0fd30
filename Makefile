# make help lists the targets. Each sets up what it needs, once.
PYTHON ?= python3.11
TEST_PROCESSES ?= 2
BIN := .venv/bin
READY := .venv/.ready
SERVERS := .venv-stac-server
AIRFLOW := .venv-airflow-3.0

.DEFAULT_GOAL := help
.PHONY: help setup demo airflow test whole-tile bench lint format lock clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 12

setup: $(READY) $(SERVERS)/.ready $(AIRFLOW)/.ready ## Make the virtual environments and fetch the jars

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

# The STAC servers that tests run against need other versions than the project.
$(SERVERS)/.ready: tests/servers/requirements.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SERVERS)
	$(BIN)/uv pip sync --quiet --no-build --require-hashes --python $(SERVERS)/bin/python $<
	@touch $@

# Airflow as AWS manages it, for the tests of the DAG.
$(AIRFLOW)/.ready: tests/orchestration/requirements-3.0.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(AIRFLOW)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(AIRFLOW)/bin/python $<
	@touch $@

demo: $(READY) ## Make scenes, run the nightly job on them, show chips and changes
	$(BIN)/chiplake demo

airflow: $(READY) ## Run Airflow with the DAG on http://localhost:8080; its home is .chiplake/airflow
	$(BIN)/dbt --quiet parse
	PATH="$(CURDIR)/$(BIN):$$PATH" AIRFLOW_HOME="$(CURDIR)/.chiplake/airflow" AIRFLOW__CORE__DAGS_FOLDER="$(CURDIR)/dags" \
		AIRFLOW__CORE__LOAD_EXAMPLES=false AIRFLOW__COSMOS__ENABLE_TELEMETRY=false AIRFLOW__API__HOST=127.0.0.1 \
		AIRFLOW__COSMOS__DBT_DOCS_PROJECTS='{"chiplake": {"dir": "$(CURDIR)/target/docs", "name": "Chiplake"}}' \
		$(BIN)/airflow standalone

test: $(READY) $(SERVERS)/.ready $(AIRFLOW)/.ready lint ## Lint, then run all tests, TEST_PROCESSES=2 at a time
	@# In the order of files: units, which are short, come last, so that no process waits for a long file of another.
	$(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

whole-tile: $(READY) ## Check every cell of a whole real tile, three configurations (10 minutes, needs sample data)
	$(BIN)/python -m pytest tests/whole_tile

bench: $(READY) ## Measure speed; each benchmark ends with one line of JSON
	@set -e; for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark; done

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
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --output-file tests/servers/requirements.lock --upgrade tests/servers/requirements.in
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --python-version 3.11 \
		--output-file tests/orchestration/requirements-3.0.lock --upgrade tests/orchestration/requirements-3.0.in
	@# What the images hold: the same versions.
	for image in requirements spark-requirements; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --constraint requirements.lock \
			--python-version 3.11 --python-platform linux --output-file docker/$$image.lock --upgrade docker/$$image.in || exit 1; \
	done

clean: ## Remove the environments, the lake and all caches
	rm -rf .venv $(SERVERS) $(AIRFLOW) .chiplake target logs
