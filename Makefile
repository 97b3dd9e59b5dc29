# make bench   a virtual environment, the package in it, and the suite
# make bench VENV=DIR   the suite in an environment that is there: nothing in it is installed or replaced
# make bench VENV=   the same with the python that is active, or PYTHON=
# make test    the same for the tests, with what they and the linters need
# make docs    what is generated in README.md and docs/, from the committed runs
# ARGS adds options: make bench ARGS="--mp-workload bert-imdb --benchmark-autosave"

PYTHON ?= $(shell command -v python || echo python3)
VENV ?= .venv
ARGS ?=
INSTALLED = $(VENV)/.installed
GIVEN = $(filter-out file,$(origin VENV))
THERE = $(if $(GIVEN),$(if $(VENV),$(wildcard $(VENV)/bin/python),$(PYTHON)))
DEVELOPER = $(VENV)/.developer

.PHONY: bench no-environment test lint docs clean

bench: $(if $(THERE),,$(if $(GIVEN),no-environment,$(INSTALLED)))
	$(if $(THERE),$(THERE),$(VENV)/bin/python) -m pytest benchmarks/ $(ARGS)

no-environment:
	@echo "make bench VENV=$(VENV): there is no environment: expected a folder with bin/python in it" >&2; exit 2

test: $(DEVELOPER)
	$(VENV)/bin/python -m pytest tests/ $(ARGS)

lint: $(DEVELOPER)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

docs: $(DEVELOPER)
	$(VENV)/bin/python docs/generate.py

clean:
	rm -rf $(VENV)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -c constraints.txt --editable '.[workloads,modes]'
	touch $@

$(DEVELOPER): $(INSTALLED)
	$(VENV)/bin/python -m pip install -c constraints.txt --editable '.[dev,workloads,parity,modes,plots]'
	touch $@
