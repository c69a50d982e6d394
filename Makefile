# What a user types: make demo, make test. Needs git, make and python3 (3.10 to 3.13) with venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint format bench clean lock protos

setup: .venv/.ready  ## the environment alone

.venv/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] < (3, 14) else "tradewind needs Python 3.10 to 3.13; this is " + sys.version.split()[0] + " (set PYTHON=python3.x)")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: setup  ## plan, simulate and execute one relayed transfer on this machine; open the page it names
	$(BIN)/python -m experiments.demo

lint: setup  ## format, lint, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: lint  ## the whole gate
	$(BIN)/pytest -n 2 --dist loadgroup

bench: setup  ## speed, as ratios side by side; never asserted
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --only transfers --only objects --only long_links --only relays

lock:  ## make requirements.lock anew (needs uv)
	uv pip compile --universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-header \
	  --all-extras --quiet --output-file requirements.lock pyproject.toml

protos: setup  ## make the control messages' code anew
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. executor/control/messages.proto

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
