# Two commands set everything up: `make demo` and `make test`. Both work offline but for package installs.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
DEMO ?= build/demo

.PHONY: demo test check docs bench clean

$(VENV)/.base: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# The main job on built-in data: a dataset, its ledger, and load_dataset.
demo: $(VENV)/.base
	$(BIN)/lrldata build --lang ro --source conceptnet --sample --out $(DEMO) --cache $(DEMO)/cache
	$(BIN)/lrldata stats $(DEMO)/datasets/ro/conceptnet --samples 5
	HF_DATASETS_OFFLINE=1 HF_DATASETS_CACHE=$(DEMO)/cache/hf $(BIN)/python -c "from datasets import load_dataset; \
	  print(load_dataset('$(DEMO)/datasets/ro/conceptnet'))"

test: $(VENV)/.dev
	$(BIN)/python -m pytest

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lrldata templates check
	$(BIN)/mkdocs build --strict --quiet

docs: $(VENV)/.dev
	$(BIN)/mkdocs serve

# 34 million lines, as ConceptNet has, with `make bench BENCH=--full`.
bench: $(VENV)/.dev
	$(BIN)/python tools/bench_conceptnet.py $(BENCH)

clean:
	rm -rf $(VENV) build site bench lrl-workspace
