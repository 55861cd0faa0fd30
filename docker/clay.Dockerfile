# Inference server for SageMaker batch transform. From the project's root:
#   docker build --file docker/clay.Dockerfile --tag clay .
# CPU only:            --build-arg TORCH_INDEX=ADDRESS   (an index of CPU builds; the default is PyPI's: CUDA 12)
# Another base image:  --build-arg BASE=IMAGE            (any with Python 3.11, such as one with CUDA)
# torch in the base:   --build-arg TORCH=
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG TORCH=torch==2.10.0
ARG TORCH_INDEX=

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

COPY docker/requirements.lock docker/torch-requirements.lock /tmp/
RUN python -m pip install --require-hashes --requirement /tmp/requirements.lock
# Another index has its own builds of torch, so their hashes are not in the lock; TORCH pins the version.
# hadolint ignore=DL3013,DL3059
RUN if [ -z "${TORCH}" ]; then echo "torch of the base image"; \
    elif [ -n "${TORCH_INDEX}" ]; then python -m pip install --index-url "${TORCH_INDEX}" "${TORCH}"; \
    else python -m pip install --require-hashes --requirement /tmp/torch-requirements.lock; fi

COPY lakehouse /opt/chiplake/lakehouse
COPY embedding /opt/chiplake/embedding
COPY python_udfs /opt/chiplake/python_udfs
COPY docker/serve /usr/local/bin/serve

# Code in the model data comes first, so that a new archive needs no new image.
ENV PYTHONPATH=/opt/ml/model/code:/opt/chiplake \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SM_MODEL_DIR=/opt/ml/model

# NVIDIA's container runtime gives a container the GPU and its driver only if the image asks for them.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

RUN useradd --no-create-home --uid 10001 chiplake
USER 10001
# A folder without code: `python -m` looks in it before PYTHONPATH.
WORKDIR /
EXPOSE 8080

# SageMaker runs `docker run IMAGE serve`.
CMD ["serve"]
