# `make study`: a virtual environment, the install, the demo study end to end. `make test`: the same, then every check.
# `make docs`: the pages that follow from the code, then the site in site/index.html.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: study test lint pytest docs clean

# Modules get their bytecode when they are first imported. pip would make it for all of them, which takes more than a third of its time.
PIP := $(VENV)/bin/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

study: $(VENV)/.installed
	$(RUN) -m hpo.run --study demo_mml

test: $(VENV)/.installed-test
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: $(VENV)/.installed-test
	$(RUN) -m pytest

lint: $(VENV)/.installed-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

docs: $(VENV)/.installed-docs
	$(RUN) -m docs.generators
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[test]'
	touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[docs]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
