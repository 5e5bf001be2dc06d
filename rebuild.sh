#!/bin/bash
# after changes of kernels or packaging
set -e
cd "$(dirname "$0")"
.venv/bin/python -m pip install -q --no-build-isolation --no-deps -e .
