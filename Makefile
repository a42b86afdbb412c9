SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check $(if $(CI),--quiet) -c constraints.txt

# Where `make demo` works, and what it hands on: make demo DEMO="--n-scenes 4"
WORKSPACE ?= demo
DEMO ?=
# Where `make cycles` works, and how much it does: make cycles CYCLES="cycles --photos FOLDER"
CYCLES ?= cycles
# Which benchmarks `make bench` runs: make bench BENCH="masks measures"
BENCH ?=
# What `make test` hands to pytest: make test TESTS="tests/masks -k iou"
TESTS ?=
# One process a core, but no more: the tests start servers and workers of their own.
TEST_PROCESSES ?= 2

# Written once their packages are in, so that a second run installs nothing.
DEMO_INSTALLED := $(VENV)/.installed-demo
TEST_INSTALLED := $(VENV)/.installed-test
BENCH_INSTALLED := $(VENV)/.installed-bench
# A peer whose packages do not go with ours; `benchmarks/import_sa1b.py` starts it where it is there.
export DATUMARO_PYTHON ?= $(abspath $(VENV)-datumaro/bin/python)

.DEFAULT_GOAL := help
.PHONY: help demo test soak check format pages bench cycles constraints clean

help:  ## Show these lines
	@grep -hE '^[a-z]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(DEMO_INSTALLED)  ## Install what the demo needs, then generate, measure and browse masks
	$(BIN)/curation demo --workspace $(WORKSPACE) $(DEMO)

# Bytecode is written whatever the environment says: tests start hundreds of processes, and each would compile it all anew.
test: $(TEST_INSTALLED)  ## Install everything, then run every test
	@bash .ci/chromium
	@$(BIN)/curation models fetch sam2-tiny || echo "sam2-tiny cannot be had here: the tests that need it are skipped"
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 15 $(TESTS)

soak: $(TEST_INSTALLED)  ## Run the tests that need long: many kills, fuzzing, faults
	$(BIN)/python -m pytest -m soak --timeout 7200 --durations 0 $(TESTS)

check: $(TEST_INSTALLED)  ## Lint Python and SQL, check formatting, generated pages, import layers and known vulnerabilities
	$(BIN)/python -m pytest -q tests/test_checks.py tests/test_layers.py tests/test_docs.py
	@bash .ci/audit $(BIN)/python

format: $(TEST_INSTALLED)  ## Format Python, mend what the linter can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pages: $(TEST_INSTALLED)  ## Write the generated pages anew: data_schemas/README.md, queries/README.md
	@$(BIN)/python -c "from curation import queries, schemas, settings; \
	    [(settings.files(name) / 'README.md').write_text(page) for name, page in \
	     (('data_schemas', schemas.render_readme()), ('queries', queries.render_readme()))]"

bench: $(BENCH_INSTALLED)  ## Run every benchmark, then print what they claim as one table: the ratio to a peer, and the least asked
	$(BIN)/python -m benchmarks $(BENCH)

cycles: $(TEST_INSTALLED)  ## Three cycles of annotate, train, regenerate and compare, in about 40 minutes
	$(BIN)/python -m benchmarks.cycles $(CYCLES)

constraints: $(TEST_INSTALLED)  ## Resolve constraints.txt anew, for every supported Python at once
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 --python $(BIN)/python \
	    --upgrade --no-annotate --no-header --constraint .ci/constraints.in --output-file constraints.txt.new
	cat .ci/constraints.header constraints.txt.new > constraints.txt
	rm constraints.txt.new

clean:  ## Remove what was built; the virtual environment, the demo and downloaded weights stay
	rm -rf build dist .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@bash .ci/venv $(VENV)

$(DEMO_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing curation with what the demo needs: about 2 GB"
	$(PIP_INSTALL) -e ".[generate,browse,app]"
	@bash .ci/mongod $(VENV)
	@touch $@

$(TEST_INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing curation with everything: about 9 GB, most of it PyTorch"
	$(PIP_INSTALL) -e ".[all,test]"
	@bash .ci/mongod $(VENV)
	@touch $(DEMO_INSTALLED) $@

$(BENCH_INSTALLED): $(TEST_INSTALLED)
	@echo "Installing the peers of the benchmarks"
	$(PIP_INSTALL) -e ".[all,test,bench]"
	$(BIN)/python -m venv $(VENV)-datumaro
	$(VENV)-datumaro/bin/python -m pip install --disable-pip-version-check --quiet datumaro
	@touch $@
