# Thin names for the commands in README.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test test-all check docs clean

$(BIN)/cfexplain:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet .

$(BIN)/pytest:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]' -c constraints.txt

demo: $(BIN)/cfexplain  ## install and explain a synthetic lesion
	$(BIN)/cfexplain demo --out out/demo

test: $(BIN)/pytest  ## install what tests need and pass them, in under 5 minutes on 2 cores
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-all: test  ## the slow ones too: kills, Ray, the browser
	$(BIN)/python -m pytest -m slow

check: $(BIN)/pytest  ## style, types, imports, and what the wheel holds
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m build --wheel --outdir build/wheel . > /dev/null
	$(BIN)/python tests/wheel_contents.py build/wheel

$(BIN)/sphinx-build:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[docs]' -c constraints.txt

docs: $(BIN)/sphinx-build  ## the documentation with its examples, without network; warnings are errors
	$(BIN)/sphinx-build -W --keep-going --quiet docs build/docs

clean:
	rm -rf $(VENV) build dist out runs docs/_generated docs/gallery docs/sg_execution_times.rst
