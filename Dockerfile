# syntax=docker/dockerfile:1
# gpures for GPUs and for machines without one: the same image, the same commands.
#
#   docker build --tag gpures .                        CuPy for CUDA 13 (NVIDIA drivers from 580 on)
#   docker build --tag gpures --build-arg CUDA=12 .    or for CUDA 12 (from 525 on)
#   docker build --tag gpures --build-arg CUDA=none .  or without CuPy, for the CPU alone
#   docker run --rm --gpus all gpures selftest
#
#   docker build --tag gpures-lab --target lab .       with a notebook server, and the notebooks
#   docker run --rm --publish 127.0.0.1:8888:8888 gpures-lab
ARG PYTHON=3.12

# ---- gpures, compiled, in an environment of its own -----------------------------------------------------------------

FROM python:${PYTHON}-slim-bookworm AS build

RUN apt-get update \
    && apt-get install --yes --no-install-recommends 'g++=4:12.*' \
    && rm -rf /var/lib/apt/lists/*

# The environment is copied as it is: its path, and the Python that it points to, are the same in both stages.
RUN python3 -m venv /opt/gpures

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY kernels kernels
COPY gpures gpures

# CUDA: 13, 12 or none. EXTRAS: further extras of gpures, each with a comma before it. VERSION: what the image says that
# it is, as git, which is not in here, would tell; without it, the release to come.
ARG VERSION=
ARG CUDA=13
ARG EXTRAS=,jwst,roman
RUN case "${CUDA}" in \
        12 | 13) cuda=",cuda${CUDA}" ;; \
        none) cuda="" ;; \
        *) echo "CUDA must be 13, 12 or none, got '${CUDA}'" >&2; exit 1 ;; \
    esac \
    && SETUPTOOLS_SCM_PRETEND_VERSION_FOR_GPURES="${VERSION}" \
        /opt/gpures/bin/python -m pip install --no-cache-dir ".[drizzle${cuda}${EXTRAS}]" \
    && /opt/gpures/bin/python -m pip uninstall --yes pip

# ---- with a notebook server: of --target lab alone ------------------------------------------------------------------

FROM python:${PYTHON}-slim-bookworm AS build-lab

COPY --from=build /opt/gpures /opt/gpures
RUN /opt/gpures/bin/python -m ensurepip \
    && /opt/gpures/bin/python -m pip install --no-cache-dir 'jupyterlab>=4.2' 'matplotlib>=3.8.4' 'stcal>=1.20' 'tqdm>=4.60' \
    && /opt/gpures/bin/python -m pip uninstall --yes pip

FROM python:${PYTHON}-slim-bookworm AS lab

RUN groupadd --gid 1000 gpures && useradd --uid 1000 --gid gpures --no-create-home gpures
ENV HOME=/tmp

COPY --from=build-lab /opt/gpures /opt/gpures
COPY notebooks /notebooks
ENV PATH=/opt/gpures/bin:$PATH
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /notebooks
USER 1000:1000
ENTRYPOINT ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
CMD []

# ---- what runs ------------------------------------------------------------------------------------------------------

FROM python:${PYTHON}-slim-bookworm AS runtime

LABEL org.opencontainers.image.title="gpures" \
      org.opencontainers.image.description="Drizzle for astronomy's mosaics, on GPUs and CPUs" \
      org.opencontainers.image.licenses="BSD-3-Clause"

# Who writes into a mounted folder wants files of their own: `docker run --user "$(id -u):$(id -g)"`. Such a user has no
# home, so the caches of CuPy (its compiled kernels), astropy and matplotlib go where anybody may write.
RUN groupadd --gid 1000 gpures && useradd --uid 1000 --gid gpures --no-create-home gpures
ENV HOME=/tmp

COPY --from=build /opt/gpures /opt/gpures
ENV PATH=/opt/gpures/bin:$PATH

# What NVIDIA's container toolkit asks an image for: which devices, and the driver's libraries for computing.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /data
USER 1000:1000
ENTRYPOINT ["gpures"]
CMD ["info"]
