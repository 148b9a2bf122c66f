# Two commands set everything up: `make demo` and `make test`. They need the network only to install packages.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Without compilation, because compiling everything takes longer than installing it; modules are compiled on import.
INSTALL = -m pip install --quiet --no-compile --constraint constraints.txt
# Store compiled modules even if the environment disables this, as in many containers: compiling torch and transformers
# again would take four seconds per command.
export PYTHONDONTWRITEBYTECODE =
# Checks the Python version first, because pip would only print pages of unsuitable versions.
FITS = $(PYTHON) -c 'import sys; (3, 11) <= sys.version_info[:2] <= (3, 14) or \
  sys.exit("lrl needs Python 3.11, 3.12, 3.13 or 3.14. Name one: make PYTHON=python3.12 ...")'
DEMO ?= build/demo
WITH_ADAPTERS = $(addprefix tests/lrltrain/test_,against_adapters.py corpus.py everyday_runs.py fit.py loaded.py loss.py modules.py \
  other_versions.py)
# Tests that need torch, and those that `make test-data` leaves out.
WITH_TORCH = tests/lrltrain tests/local_hub $(addprefix tests/hub_cards/test_,adapters.py imports.py interrupted.py) \
  $(wildcard tests/test_*.py)
# Tests that `make test` does not run; `make check` checks their types.
APART = tests/lrltrain/test_against_others.py $(wildcard tests/real/*.py)
FIT = --lang ro --base lrl-mini --steps 200 --batch-size 8 --max-length 128 --learning-rate 5e-3 --reduction-factor 4

.PHONY: environments demo test coverage test-data test-adapters test-lowest test-oracles test-real test-wheel test-upstream check docs serve-docs bench bench-glotcc clean

$(VENV)/.base: pyproject.toml constraints.txt
	$(FITS) && $(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) --editable ".[train,push]"
	touch $@

# The data half only, without torch.
.venv-data/.made: pyproject.toml constraints.txt
	$(FITS) && $(PYTHON) -m venv .venv-data
	.venv-data/bin/python $(INSTALL) --editable ".[dev,push]"
	! .venv-data/bin/python -c "import torch" 2> /dev/null
	touch $@

# The library `adapters` and the older libraries that it requires.
.venv-adapters/.made: pyproject.toml constraints-adapters.txt
	$(FITS) && $(PYTHON) -m venv .venv-adapters
	.venv-adapters/bin/python -m pip install --quiet --no-compile --constraint constraints-adapters.txt \
	  --editable ".[adapters,dev,train,push]"
	touch $@

# The oldest libraries that pyproject.toml allows. Old torch is a large download.
.venv-lowest/.made: pyproject.toml constraints-lowest.txt
	$(FITS) && $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --no-compile --constraint constraints-lowest.txt \
	  --editable ".[dev,push,s3,train]"
	touch $@

# What the demo and the tests need, except for the test tools with torch, which `make check` or `make test` adds. Each
# installation keeps one core busy, so `make --jobs 2 environments` is faster.
environments: $(VENV)/.base .venv-data/.made .venv-adapters/.made

$(VENV)/.dev: $(VENV)/.base
	$(BIN)/python $(INSTALL) --editable ".[dev,docs,train,push]"
	touch $@

# The main workflow on built-in data: two datasets and a report on the lines dropped from the web text; an adapter, its
# pseudo-perplexity before and after, and a page of results. Everything is published to a local Hub and loaded from it.
demo: $(VENV)/.base
	$(BIN)/lrldata build --lang ro --source conceptnet --sample --out $(DEMO) --cache $(DEMO)/cache
	$(BIN)/lrldata build --lang ro --source glotcc --sample --out $(DEMO) --cache $(DEMO)/cache
	$(BIN)/lrldata report $(DEMO)/datasets/ro/glotcc
	$(BIN)/lrltrain fit $(FIT) --out $(DEMO) --cache $(DEMO)/cache
	$(BIN)/lrltrain eval --adapter $(DEMO)/adapters/ro/lrl-mini/conceptnet-seq_bn_inv \
	  --data $(DEMO)/datasets/ro/conceptnet --out $(DEMO)
	$(BIN)/lrltrain report $(DEMO)
	$(BIN)/python tools/rehearse.py $(DEMO) --lang ro

# The whole suite: tests of the data half without torch installed, all others with it. The files that tests leave behind
# are searched for tokens: no file, log or journal may contain one.
test: test-data $(VENV)/.dev
	$(BIN)/python -m pytest --basetemp build/tests $(WITH_TORCH)
	! grep -rlE -D skip 'hf_test_[a-z]+' build/tests

# The wheel in a separate environment, outside the source tree: API, notebooks, commands.
test-wheel:
	rm -rf build/wheel .venv-wheel
	$(FITS) && $(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir build/wheel .
	.venv-wheel/bin/python $(INSTALL) "$$(echo build/wheel/*.whl)[train,push]"
	cd build/wheel && ../../.venv-wheel/bin/python -P ../../tools/check_wheel.py ../../examples/*.ipynb

# The tests with line and branch coverage.
coverage: $(VENV)/.dev
	mkdir -p build
	$(BIN)/python -m pytest --basetemp build/tests --cov --cov-report term

# huggingface_hub's own tests against the local Hub.
test-upstream: $(VENV)/.dev
	$(BIN)/python tools/upstream_tests.py

# The data half and publishing, without torch. Only `make test` tests interrupted publications and the local Hub.
test-data: .venv-data/.made
	mkdir -p build
	.venv-data/bin/python -m pytest tests/lrldata tests/hub_cards --ignore tests/hub_cards/test_interrupted.py \
	  --basetemp build/tests-data
	! grep -rlE -D skip 'hf_test_[a-z]+' build/tests-data

# Compares modules and files with `adapters`, and tests publishing, on older libraries. Kills and faults are only tested
# in `make test`.
test-adapters: .venv-adapters/.made
	mkdir -p build
	.venv-adapters/bin/python -m pytest -m 'not real and not slow' \
	  --basetemp build/tests-adapters tests/hub_cards $(WITH_ADAPTERS)

# The whole suite on them. Old libraries use deprecated parts of newer ones, so warnings are no errors.
test-lowest: .venv-lowest/.made
	mkdir -p build
	.venv-lowest/bin/python -m pytest -W default --basetemp build/tests-lowest

$(VENV)/.oracles: $(VENV)/.dev
	$(BIN)/python $(INSTALL) --editable ".[dev,oracles,push,train]"
	touch $@

# Compares results with minicons, PEFT and lm-evaluation-harness.
test-oracles: $(VENV)/.oracles
	$(BIN)/python -m pytest -n 0 tests/lrltrain/test_against_others.py

# Tests on small real models from PyPI packages (kept in build/real, 2 GB), compared with other programs that run them.
test-real: $(VENV)/.oracles
	mkdir -p build
	$(BIN)/python -m pytest -n 0 -m real --basetemp build/tests-real tests/real

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict tests/support/users_script.py
	MYPYPATH=tests/support $(BIN)/mypy --ignore-missing-imports --allow-untyped-calls --no-warn-return-any --no-warn-unused-ignores $(APART)
	$(BIN)/lrldata templates check
	$(BIN)/python tools/make/check_words.py
	$(BIN)/python tools/make/make_cli_reference.py --check
	$(BIN)/python tools/make/make_notebook_page.py --check
	$(BIN)/python tools/make/make_schema_reference.py --check
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The documentation, written to site/. `make serve-docs` shows a live preview.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

serve-docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

# `make bench BENCH=--full` uses 34 million lines, the size of ConceptNet. TEXT is any text with one sentence per line.
bench: $(VENV)/.dev
	$(BIN)/python tools/benchmarks/bench_conceptnet.py $(BENCH)
	test -z "$(TEXT)" || $(BIN)/python tools/benchmarks/bench_fit.py $(TEXT)
	test -z "$(TEXT)" || $(BIN)/python tools/benchmarks/bench_pppl.py $(TEXT)

# Web text, compared with datatrove and datasketch.
bench-glotcc: .venv-data/.made
	.venv-data/bin/python $(INSTALL) --editable ".[dev,push,bench]"
	.venv-data/bin/python tools/benchmarks/bench_glotcc.py $(BENCH)

clean:
	rm -rf $(VENV) .venv-adapters .venv-data .venv-lowest .venv-wheel build site bench lrl-workspace
