# `make stress` runs the main job on a fresh machine, `make test` runs the tests; both install what they need.

VENV ?= .venv
BIN := $(VENV)/bin
ifneq ($(words $(VENV)),1)
$(error VENV=$(VENV): make takes no path with a space; the checkout itself may have one)
endif
INPUTS := pyproject.toml constraints.txt tools/setup

.PHONY: stress nightly test test-fast durations lint docs bench power check-macos core free-threaded clean

# Off macOS the device is simulated, and each worker has one of its own: two share the items. On a Mac all would load one GPU,
# which changes the experiment.
SIDE_BY_SIDE := $(if $(filter Darwin,$(shell uname)),,-n 2)

# The native suite under ThreadSanitizer where a clang is found, which sees other bugs; where not, the closing lines say so. Then
# the quick profile. Both in at most four minutes: on a slow machine items get fewer attempts, and items that did not run are
# reported.
stress: $(VENV)/.ready
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --mps-threads=8 --mps-seconds=220 tsan scenarios

# Both with the full profile: every item, up to 20 attempts each, in half an hour.
nightly: $(VENV)/.ready
	$(BIN)/python -m pytest --mps-threads=8 --mps-profile=full --mps-seconds=1750 tsan scenarios

# Each file of tests stays in one worker, because its tests share runs. The root conftest.py puts the longest files first, and
# says how many workers: more than cores, since many tests wait for a deadline.
PYTEST := $(BIN)/python -m pytest -n auto --dist=loadfile --no-loadscope-reorder

# Hundreds of processes import this package: without its compiled modules each takes a third of a second longer.
unexport PYTHONDONTWRITEBYTECODE

test: $(VENV)/.ready-dev lint
	$(PYTEST)

# For the inner loop: without the files of tests that start processes.
test-fast: $(VENV)/.ready-dev
	$(PYTEST) -n 2 -m "not slow"

# Measures how long the files of tests take, which is their order in `make test`.
durations: $(VENV)/.ready-dev
	TESTS_DURATIONS=1 $(PYTEST)

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages in docs/ as a site in build/site. A link that leads nowhere is an error.
docs: $(VENV)/.ready-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# How good the detector is, on the simulated device: about 20 minutes on 2 cores that do nothing else.
power: $(VENV)/.ready-dev
	$(BIN)/mps-stress power --seconds=1200

bench: $(VENV)/.ready-dev
	$(BIN)/python -m benchmarks

# Compiles the native harness for arm64 macOS and looks up its symbols in torch's macOS wheels. Needs llvm-nm and, the first
# time, a network: it downloads some 300 MB, as data. Nothing runs on macOS.
check-macos: $(VENV)/.ready-dev
	$(BIN)/python tools/check_macos.py

# A PyTorch release's own MPS backend over the simulated Metal: the scenarios fail where tools/core_failures.toml says, its real
# bugs are found, and their fixes silence what found them. The first time it downloads the release from Debian (38 MB), and
# says so. RUNS=20 is the longer lane. CI reads how it ended in CORE_OUTCOME.
PYTORCH ?= build/pytorch-2.6.0
RUNS ?= 1
CORE_OUTCOME ?= build/core/outcome.txt
core: $(VENV)/.ready-dev
	$(BIN)/python tools/check_core.py $(PYTORCH) --runs=$(RUNS) --outcome=$(CORE_OUTCOME)

# Scenarios in a Python without its global lock (3.13t, 3.14t), where one with torch and mps-stress is found: says n/a where not.
free-threaded: $(VENV)/.ready
	$(BIN)/python -m tools.free_threaded

$(VENV)/.ready: $(INPUTS)
	tools/setup $(VENV)
	@touch $@

$(VENV)/.ready-dev: $(INPUTS)
	tools/setup $(VENV) dev
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-docs: $(INPUTS)
	tools/setup $(VENV) docs
	@touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
