# make help lists the targets. Each sets up what it needs, once.
PYTHON ?= python3.11
TEST_PROCESSES ?= 2
BIN := .venv/bin
READY := .venv/.ready
SERVERS := .venv-stac-server
# As in dags/chiplake_airflow/managed_versions.py.
AIRFLOW_VERSIONS := 3.0.6 3.2.1 3.3.1
AIRFLOW_PYTHON ?= $(shell sh scripts/airflow_python.sh $(BIN)/python)
IAM := tests/support/iam
TEST_READY := $(READY) $(SERVERS)/.ready $(AIRFLOW_VERSIONS:%=.venv-airflow-%/.ready) $(IAM)/node_modules/.ready
# In the order of tests/support/file_times.py: the longest file first.
PYTEST := $(BIN)/python -m pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 10

.DEFAULT_GOAL := help
.PHONY: help setup demo airflow check units test test-all test-long bench lint style types format lock lock-airflow clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | sort | expand -t 12

setup: $(TEST_READY) ## Make the virtual environments and fetch the jars

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
$(SERVERS)/.ready: tests/support/servers/requirements.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SERVERS)
	$(BIN)/uv pip sync --quiet --no-build --require-hashes --python $(SERVERS)/bin/python $<
	@touch $@

# Airflow as AWS installs it, for the tests of the DAG.
.venv-airflow-%/.ready: tests/orchestration/requirements-%.lock | $(READY)
	$(BIN)/uv venv --quiet --clear --python $(AIRFLOW_PYTHON) $(@D)
	$(BIN)/uv pip sync --quiet --require-hashes --python $(@D)/bin/python $<
	@touch $@

# The judge of policies. Without it, the test that asks it is skipped.
$(IAM)/node_modules/.ready: $(IAM)/package.json
	@if (cd $(IAM) && npm install --silent --no-package-lock --ignore-scripts --no-audit --no-fund); then touch $@; \
		else echo "npm cannot install the judge of policies: its test will be skipped"; fi

demo: $(READY) ## Make scenes, run the nightly job on them, show chips and changes
	$(BIN)/chiplake demo

airflow: $(READY) ## Run Airflow with the DAG on http://localhost:8080; its home is .chiplake/airflow
	$(BIN)/dbt --quiet parse
	PATH="$(CURDIR)/$(BIN):$$PATH" AIRFLOW_HOME="$(CURDIR)/.chiplake/airflow" AIRFLOW__CORE__DAGS_FOLDER="$(CURDIR)/dags" \
		AIRFLOW__CORE__LOAD_EXAMPLES=false AIRFLOW__COSMOS__ENABLE_TELEMETRY=false AIRFLOW__API__HOST=127.0.0.1 \
		AIRFLOW__COSMOS__DBT_DOCS_PROJECTS='{"chiplake": {"dir": "$(CURDIR)/target/docs", "name": "Chiplake"}}' \
		$(BIN)/airflow standalone

check: $(READY) ## Style of Python, types, and the tests that need neither Java nor Airflow (under a minute)
	@$(MAKE) --no-print-directory --jobs --output-sync=target style types units

units: $(READY) ## The tests that need neither Java nor Airflow
	$(PYTEST) -m "not (java or airflow or slow or long)" tests/unit

test: $(TEST_READY) ## Lint, types and every test except the long ones (30 minutes)
	@$(MAKE) --no-print-directory --jobs --output-sync=target lint types
	$(PYTEST) -m "not (slow or long)"

test-all: $(TEST_READY) ## The tests that `make test` skips: kill loops, a whole tile, a cluster, a day on AWS, all examples of a property
	$(PYTEST) $(ALL_OPTIONS) --hypothesis-profile thorough -m "(slow or (hypothesis and not java)) and not long"

test-long: $(TEST_READY) ## The tests with the largest counts, by hand (hours)
	$(PYTEST) -m long

bench: $(READY) ## Measure speed; each benchmark ends with one line of JSON
	@set -e; for benchmark in benchmarks/*.py; do $(BIN)/python $$benchmark; done

lint: $(READY) style ## `make style`, and the style of SQL
	$(BIN)/sqlfluff lint --processes 1 models tests/dbt

style: $(READY) ## Check the style of Python, and which package imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(READY) ## Check the types
	$(BIN)/mypy

format: $(READY) ## Rewrite Python in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --all-extras --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --output-file requirements.lock --upgrade pyproject.toml
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header \
		--python-version 3.11 --output-file tests/support/servers/requirements.lock --upgrade tests/support/servers/requirements.in
	@# What the images hold: the same versions.
	for image in requirements spark-requirements; do \
		$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --constraint requirements.lock \
			--python-version 3.11 --python-platform linux --output-file docker/$$image.lock --upgrade docker/$$image.in || exit 1; \
	done
	@# torch of the inference server is older than the project's: its builds are for CUDA 12.
	$(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header --constraint docker/requirements.lock \
		--python-version 3.11 --python-platform linux --output-file docker/torch-requirements.lock --upgrade docker/torch-requirements.in

lock-airflow: ## Pin managed Airflow's packages by the files constraints-VERSION.txt of the folder CONSTRAINTS
	@# --universal: the tests run on Python 3.12, as AWS does, or 3.11.
	@for version in $(AIRFLOW_VERSIONS); do \
		echo "apache-airflow==$$version" | $(BIN)/uv pip compile --quiet --generate-hashes --no-annotate --no-header \
			--universal --python-version 3.11 --constraint $(or $(CONSTRAINTS),$(error CONSTRAINTS is not set))/constraints-$$version.txt \
			--output-file tests/orchestration/requirements-$$version.lock --upgrade - tests/orchestration/requirements.in || exit 1; \
	done

clean: ## Remove the environments, the lake and all caches
	rm -rf .venv $(SERVERS) .venv-airflow-* $(IAM)/node_modules .chiplake target logs
