# Inference server for SageMaker batch transform. From the project's root:
#   docker build --file docker/clay.Dockerfile --tag clay .
# CPU only:            --build-arg TORCH_INDEX=ADDRESS   (an index of CPU builds; the default is pip's index: CUDA)
# Another base image:  --build-arg BASE=IMAGE            (any with Python 3.11, such as one with CUDA)
# torch in the base:   --build-arg TORCH=
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG TORCH=torch==2.15.0
ARG TORCH_INDEX=

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

COPY docker/requirements.lock /tmp/requirements.lock
RUN python -m pip install --require-hashes --requirement /tmp/requirements.lock
# No hashes, because each index has its own builds of torch; TORCH pins the version.
# hadolint ignore=DL3013,DL3059
RUN if [ -n "${TORCH}" ]; then python -m pip install ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} "${TORCH}"; fi

COPY lakehouse /opt/chiplake/lakehouse
COPY embedding /opt/chiplake/embedding
COPY python_udfs /opt/chiplake/python_udfs
COPY docker/serve /usr/local/bin/serve

# Code in the model data comes first, so that a new archive needs no new image.
ENV PYTHONPATH=/opt/ml/model/code:/opt/chiplake \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SM_MODEL_DIR=/opt/ml/model

RUN useradd --no-create-home --uid 10001 chiplake
USER 10001
# A folder without code: `python -m` looks in it before PYTHONPATH.
WORKDIR /
EXPOSE 8080

# SageMaker runs `docker run IMAGE serve`.
CMD ["serve"]
