# make demo: environment + quickstart.   make test: environment + tests.   make check: linters, types, import contracts.
# A CUDA or CPU build of torch from elsewhere: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_INDEX ?=
TORCH_SOURCE := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test test-long check env clean

demo: env
	$(BIN)/testbed run

test: env
	scripts/install-libiio
	$(BIN)/python -m pytest -m "not long and not hardware"

test-long: env
	scripts/install-libiio
	$(BIN)/python -m pytest -m "not hardware" --timeout 3600

check: env
	VENV=$(VENV) scripts/check

env: $(STAMP)

# torch first and by itself, so that no other package can pull another build of it
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH_SOURCE) --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
