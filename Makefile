# All set-up is here: a fresh Debian machine needs python3, make and root (or sudo).
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# Tests wait more than they compute.
JOBS ?= 4
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)

.DEFAULT_GOAL := help
.PHONY: help setup packages demo docs test lint format bench clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

setup: packages $(VENV)/.installed ## virtual environment, Python packages, missing Debian packages

packages:
	@scripts/debian-packages

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --group lint --group test build
	@touch $@

# The suite and the demo run the built wheel, never the checkout.
$(VENV)/.installed: $(VENV)/.tools pyproject.toml $(shell find fwfix templates -type f -not -name '*.pyc' 2>/dev/null)
	@rm -rf build-wheel
	$(BIN)/python -m build --wheel --outdir build-wheel . >/dev/null
	$(BIN)/pip install --quiet --disable-pip-version-check build-wheel/*.whl
	$(BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps build-wheel/*.whl
	@rm -rf build-wheel
	@touch $@

demo: setup ## the main job on throw-away hosts
	$(BIN)/fwfix demo

docs: $(VENV)/.installed ## write docs/commands.md from --help
	$(BIN)/python scripts/generate-docs

test: setup ## the whole suite, against the built wheel
	@scripts/debian-packages firewalld dbus systemd krb5-kdc krb5-admin-server krb5-user libkrb5-dev gcc python3-dev \
	  ksh zsh fish tcsh
	@$(BIN)/pip install --quiet --disable-pip-version-check 'fwfix[kerberos]'
	@scripts/other-inits $(VENV)/inits
	$(BIN)/pytest -n $(JOBS) --dist worksteal

lint: $(VENV)/.installed ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tools ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.peers:
	$(PYTHON) -m venv $(VENV)/peers
	$(VENV)/peers/bin/pip install --quiet --disable-pip-version-check ansible-core pyinfra
	@touch $@

bench: setup $(VENV)/.peers ## side by side with the peers, in one run
	$(BIN)/python benchmarks/run.py --peers $(VENV)/peers $(BENCH)
	$(BIN)/python benchmarks/scale.py

clean: ## remove what make made
	rm -rf $(VENV) build-wheel dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
