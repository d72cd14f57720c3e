# make demo   grow two worlds, export and film them      make test   everything CI checks
# make test-all   adds the long suites                   make clean  forget the environment
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := OMP_WAIT_POLICY=PASSIVE $(BIN)

.PHONY: demo test test-all lint clean

demo: $(VENV)/.runtime
	$(RUN)/python examples/01_two_worlds.py

# A process a core and a thread a process: two threads beside a busy core wait for each other. A file's tests stay
# together, because they share what they make. In their own order, tests/e2e first: by itself xdist leaves files of
# few tests to the end, and theirs are the longest.
PYTEST := OMP_NUM_THREADS=1 $(RUN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: lint
	$(PYTEST) -m "not slow and not gpu"

test-all: lint .venv-nerfstudio/.ready
	$(PYTEST)

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	$(BIN)/basedpyright

# torch comes first and alone: where an index or a folder of wheels offers a CPU build of exactly this
# version it is taken, and nothing that follows replaces it.
$(VENV)/.runtime: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "worldgen needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime package.json scripts/install_checkers.sh
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	bash scripts/install_checkers.sh $(BIN)
	touch $@

# Pins what ours cannot: an environment of its own, in which its reader judges our datasets.
.venv-nerfstudio/.ready: scripts/nerfstudio.sh | $(VENV)/.dev
	PYTHON=$(BIN)/python bash scripts/nerfstudio.sh reader .venv-nerfstudio && touch $@ \
		|| echo "nerfstudio could not be installed: its tests will be skipped" >&2

clean:
	rm -rf $(VENV) .venv-nerfstudio node_modules demo out
