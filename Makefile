# `make demo` and `make test` each make the environment they need, in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml kernels/CMakeLists.txt $(wildcard kernels/*.h kernels/cpu/* kernels/cuda/*)

.PHONY: demo test test-docker test-pipelines test-sanitizers test-explore fuzz check format bench docs clean

demo: $(VENV)/.demo
	$(BIN)/gpures demo

test: $(VENV)/.test check
	$(BIN)/pytest -n auto --dist loadgroup

# The pipelines of JWST and Roman as they are, each in an environment of its own, as their requirements ask for. They
# are large, so this is no part of `make test`.
test-pipelines: $(VENV)-jwst/.test $(VENV)-romancal/.test
	$(VENV)-jwst/bin/pytest --confcutdir=tests/pipelines -o pythonpath=tests tests/pipelines/test_jwst.py
	$(VENV)-romancal/bin/pytest --confcutdir=tests/pipelines -o pythonpath=tests tests/pipelines/test_romancal.py

# The kernels built with GCC's sanitizers; and other scenes than `make test` draws, for as many minutes as asked.
test-sanitizers: $(VENV)/.test
	$(BIN)/python -P tests/sanitizers.py address
	$(BIN)/python -P tests/sanitizers.py thread

MINUTES := 10
test-explore: $(VENV)/.test
	$(BIN)/python -P tests/explore.py $(MINUTES)

# Arguments and files that a fuzzer invents, each target for so many seconds.
SECONDS := 300
fuzz: $(VENV)/.test
	$(BIN)/python -m pip install --quiet '.[fuzz]'
	for target in resample drizzle fits asdf; do $(BIN)/python -P tests/fuzz/fuzz.py $$target $(SECONDS) || exit 1; done

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files 'kernels/*.h' 'kernels/*.cpp' 'kernels/*.cu')
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/hadolint Dockerfile

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files 'kernels/*.h' 'kernels/*.cpp' 'kernels/*.cu')

bench: $(VENV)/.test
	$(BIN)/gpures bench

# Without a network; `make docs INTERSPHINX=0` has links to other packages' pages as well.
INTERSPHINX := 1
docs: $(VENV)/.test
	$(BIN)/sphinx-build --fail-on-warning --keep-going -D disable_intersphinx=$(INTERSPHINX) docs build/docs

# The steps of the Dockerfile, for machines without a GPU.
test-docker: $(VENV)/.test
	$(BIN)/python tests/image.py --build-arg CUDA=none

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# A plain install, as users have it; again when the kernels or the packaging changed, and always fresh Python files.
$(VENV)/.demo: $(VENV)/bin/python $(SOURCES) $(wildcard gpures/*.py gpures/*/*.py)
	$(BIN)/python -m pip install --quiet '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/bin/python $(SOURCES) $(wildcard gpures/*.py gpures/*/*.py)
	$(BIN)/python -m pip install --quiet '.[test,check]'
	touch $@ $(VENV)/.demo

$(VENV)-%/.test: $(SOURCES) $(wildcard gpures/*.py gpures/*/*.py)
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-$*/bin/python -m pip install --quiet '.[test-$*]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-jwst $(VENV)-romancal build gpures_demo gpures_bench
