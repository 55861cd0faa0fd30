# The project with Spark, for SageMaker processing jobs. From the project's root:
#   docker build --file docker/spark.Dockerfile --tag chiplake-spark .
# Another base image:  --build-arg BASE=IMAGE   (Debian 12 with Python 3.11)
# It has no torch: jobs export chips and load answers, and know the model by its card.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE} AS java

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1 \
    PATH=/opt/venv/bin:${PATH} \
    CHIPLAKE_JARS_DIR=/opt/jars

# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends openjdk-17-jre-headless \
    && rm -rf /var/lib/apt/lists/*

FROM java AS build

COPY docker/spark-requirements.lock /tmp/requirements.lock
# setuptools first, by the same hashes: source packages are built only with it. --no-deps, because the lock has all
# dependencies, and pip would look for extras that it lacks.
RUN python -m venv /opt/venv \
    && awk '/^setuptools==/ {found = 1} found {print} found && !/\\$/ {exit}' /tmp/requirements.lock > /tmp/setuptools.txt \
    && python -m pip install --require-hashes --requirement /tmp/setuptools.txt \
    && python -m pip install --no-deps --require-hashes --no-build-isolation --requirement /tmp/requirements.lock

# Only lakehouse, which lists the jars: a change elsewhere fetches nothing again. Each jar is checked by its SHA-256 digest.
COPY lakehouse /opt/fetch/lakehouse
RUN PYTHONPATH=/opt/fetch python -c "from lakehouse.spark.jars import ensure_jars; from lakehouse.settings import get_settings; ensure_jars(get_settings().runtime)"

FROM java

COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/jars /opt/jars
COPY docker/smspark-submit docker/chiplake /usr/local/bin/
COPY profiles /opt/chiplake/profiles
COPY macros /opt/chiplake/macros
COPY models /opt/chiplake/models
COPY seeds /opt/chiplake/seeds
COPY snapshots /opt/chiplake/snapshots
COPY analyses /opt/chiplake/analyses
COPY tests/dbt /opt/chiplake/tests/dbt
COPY pyproject.toml dbt_project.yml selectors.yml dbt_chiplake.py pyspark_chiplake.py /opt/chiplake/
COPY lakehouse /opt/chiplake/lakehouse
COPY python_udfs /opt/chiplake/python_udfs
COPY ingestion /opt/chiplake/ingestion
COPY embedding /opt/chiplake/embedding
COPY scripts/run_job.py /opt/chiplake/scripts/run_job.py
COPY chiplake /opt/chiplake/chiplake

ENV PYTHONPATH=/opt/chiplake \
    PYTHONUNBUFFERED=1 \
    DBT_PROJECT_DIR=/opt/chiplake \
    DBT_PROFILES_DIR=/opt/chiplake/profiles \
    DBT_TARGET=aws \
    DBT_TARGET_PATH=/tmp/dbt/target \
    DBT_LOG_PATH=/tmp/dbt/logs \
    CHIPLAKE_CATALOG=glue \
    CHIPLAKE_HOME=/tmp/chiplake \
    CHIPLAKE_JOB_USER=chiplake

# No USER: SageMaker makes the folders of outputs for root only. smspark-submit gives them to this user and becomes it.
RUN useradd --create-home --uid 10001 chiplake
# A folder without code: `python -m` looks in it before PYTHONPATH.
WORKDIR /

# SageMaker sets the entry point: smspark-submit [OPTIONS] APPLICATION|PROGRAM [ARGUMENTS].
CMD ["chiplake", "--help"]
