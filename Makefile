# Everything a developer or CI does starts here. Needs Python 3.11+, make and a package registry; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest
LOCK := requirements/dev.txt
FUZZ_LOCK := requirements/fuzz.txt
SERVER_LOCK := requirements/server.txt
BUILD_LOCK := requirements/build.txt
CHECKERS_LOCK := requirements/checkers.txt
CHECKERS := $(VENV)/.checkers
DOCS_LOCK := requirements/docs.txt
DOCS_READY := $(VENV)/.docs-ready
ROOMS := shared services deploy tests docs/conf.py docs/extensions docs/reference_docs docs/examples docs/custody/model

.DEFAULT_GOAL := help
.PHONY: help setup run demo test test-fast bench fuzz storm model check format lint types imports schemas reference docs client typescript lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}'

setup: $(READY) ## Install tokenkeep and its tools into .venv

$(READY): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "tokenkeep needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked requirements into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(CHECKERS): $(CHECKERS_LOCK) $(READY)
	@echo "Installing what checks deploy/ ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(CHECKERS_LOCK) && touch $@ \
	  || echo "They could not be installed: the tests that need them are skipped." >&2

run: $(READY) ## Start everything on this machine (embedded PostgreSQL and Valkey)
	@$(BIN)/tokenkeep up

demo: $(READY) ## Watch accounts being kept fresh against a local OAuth server
	@$(BIN)/tokenkeep demo

test: $(READY) $(CHECKERS) ## Run the whole test suite against real PostgreSQL and Valkey, in WORKERS processes (default 2)
	@$(PYTEST) --numprocesses $(or $(WORKERS),2) --dist loadfile

test-fast: $(READY) ## Run the unit tests only
	@$(PYTEST) tests/unit

bench: $(READY) ## Measure speed beside limits and references (SCENARIO=vend for one of them)
	@$(BIN)/tokenkeep bench $(SCENARIO)

fuzz: $(READY) ## Search for answers that the classifier can't read, for SECONDS (default 60; Linux)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(FUZZ_LOCK)
	@$(BIN)/python tests/fuzz/fuzz_verdict.py -max_total_time=$(or $(SECONDS),60) -print_final_stats=1

storm: $(READY) ## Kill, stop and cut everything for MINUTES (default 15) and count what was lost
	@$(BIN)/python tests/storm/run.py --minutes $(or $(MINUTES),15)

model: ## Check the custody protocol's formal model (needs SPIN and a C compiler)
	@$(PYTHON) docs/custody/model/run.py

check: lint types imports ## Lint, type-check and verify the import rules

format: $(READY) ## Format the code
	@$(BIN)/ruff format $(ROOMS)
	@$(BIN)/ruff check --fix --quiet $(ROOMS)

lint: $(READY) ## Check format and lint rules
	@$(BIN)/ruff format --check $(ROOMS)
	@$(BIN)/ruff check $(ROOMS)

types: $(READY) ## Type-check (mypy, strict)
	@$(BIN)/mypy

imports: $(READY) ## Check who imports whom
	@$(BIN)/lint-imports

schemas: $(READY) ## Derive deploy/schemas from deploy/asyncapi.yaml
	@$(BIN)/python deploy/derive_schemas.py

reference: $(READY) ## Derive pages of docs/reference from the code
	@PYTHONPATH=docs $(BIN)/python -m reference_docs

docs: $(DOCS_READY) ## Build the documentation into docs/_build (a warning is an error)
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -j 2 -b html docs docs/_build
	@echo "docs/_build/index.html"

$(DOCS_READY): $(READY) $(DOCS_LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(DOCS_LOCK)
	@touch $@

client: $(READY) ## Derive the SDK's calls that block from those for event loops
	@$(BIN)/python deploy/derive_client.py

typescript: $(READY) ## Derive deploy/typescript/schema.d.ts from the API's description (needs npm's registry)
	@$(BIN)/python deploy/derive_typescript.py

lock: ## Pin the requirements that pyproject.toml names (needs uv; UPGRADE=--upgrade takes the newest)
	@uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra streams --extra server --extra embedded --extra demo --extra otel --extra aws --extra gcp --extra bench --group dev \
	  --custom-compile-command "make lock" -o $(LOCK) pyproject.toml
	@uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --group fuzz --custom-compile-command "make lock" -o $(FUZZ_LOCK)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url -c $(LOCK) \
	  --extra streams --extra server --extra otel --custom-compile-command "make lock" -o $(SERVER_LOCK) pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url -c $(LOCK) \
	  --group build --custom-compile-command "make lock" -o $(BUILD_LOCK)
	@uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-emit-index-url -c $(LOCK) \
	  --group checkers --custom-compile-command "make lock" -o $(CHECKERS_LOCK)
	@uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --group docs --constraints $(LOCK) --custom-compile-command "make lock" -o $(DOCS_LOCK)

clean: ## Remove what the other targets made (keeps .tokenkeep, your data)
	@rm -rf $(VENV) docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
