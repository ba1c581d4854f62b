.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
WORKSPACE ?= workspace

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.ready: requirements.lock pyproject.toml
	@echo "Building the environment in $(VENV) (once; some minutes where packages must be downloaded)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

.PHONY: nightly
nightly: $(VENV)/.ready ## run the night on the sample world, ending with charts
	@$(BIN)/hearabouts nightly --workspace $(WORKSPACE)

PAGES := recsys/serving/pages
ours := $(addprefix $(PAGES)/,package-lock.json build.mjs font.css map.js hexagons.js music.js geometry.js moves.js covers.js words.js cells.js near.js)

# The map and "near me" need other people's code, which npm brings; without it the page is whole, but for these two.
$(PAGES)/built/map.js: $(ours)
	@if command -v npm > /dev/null; then \
	  echo "Building the page's map in $(PAGES)/built (once; npm brings its packages)" >&2; \
	  (cd $(PAGES) && npm ci --silent --ignore-scripts && npm run --silent build) \
	    || echo "The map could not be built, so the page is served without it and without near me" >&2; \
	else \
	  echo "There is no node on this machine, so the page is served without its map and without near me" >&2; \
	fi

.PHONY: page
page: $(PAGES)/built/map.js ## build the page's map (needs node; done by serve and test where it is there)

.PHONY: serve
serve: $(VENV)/.ready page ## serve the published charts on http://127.0.0.1:8000
	@$(BIN)/hearabouts serve --workspace $(WORKSPACE)

.PHONY: ui
ui: $(VENV)/.ready ## open the leaderboard of the runs, on http://127.0.0.1:5000 or the MLflow server that they are on
	@$(BIN)/hearabouts ui --workspace $(WORKSPACE)

# Many tests start the command: what is compiled once is kept, whatever the environment says. There are more workers than
# cores, so that threads of a worker's own would only wait for those of the others.
.PHONY: test
test: $(VENV)/.ready page ## run the tests (PYTHON=python3.13 VENV=.venv-3.13 for those of another Python)
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n auto --dist worksteal --durations 25

.PHONY: faults
faults: $(VENV)/.ready page ## seed faults in the privacy code one by one, and see that tests notice each
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 2 --dist load -m faults tests/attack/test_mutations.py

.PHONY: check
check: $(VENV)/.ready ## style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: bench
bench: $(VENV)/.ready ## print the measured figures and keep them in MLflow (BENCH="charts cities" for some)
	@PYTHONPATH=tests $(BIN)/python tests/bench/run.py $(BENCH)

.PHONY: openapi
openapi: $(VENV)/.ready ## write docs/openapi.json, the contract of the endpoint, anew
	@$(BIN)/python -m pipelines.write_openapi docs/openapi.json

.PHONY: languages
languages: $(VENV)/.ready ## bring the catalogues of the page up to date with its texts
	@$(BIN)/python -m pipelines.write_languages

.PHONY: sample
sample: $(VENV)/.ready ## write the sample world anew
	@$(BIN)/hearabouts sample --to data/sample

.PHONY: lock
lock: ## resolve requirements.lock anew (needs uv)
	uv pip compile --quiet --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate pyproject.toml --group dev -o requirements.lock

.PHONY: clean
clean: ## remove the environment and caches; never a workspace: its ledger and keys cannot be made again
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
