# Two commands on a fresh machine with Python 3.11 (or later), pip and make: `make demo` and `make test`.
# pip uses the index that it is configured with; nothing here names one. VENV=DIR puts the environment elsewhere.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
JOBS ?= 2
LOCK ?= requirements-run.lock
# pip refuses whatever is not in the lock by hash, and builds nothing from source.
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --quiet
LOCKED := --require-hashes --no-deps --only-binary :all:
# One thread each: two cores are two workers, and predictions do not depend on the thread count anyway.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help demo test prove bundle docs format lock clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r target text; \
	do printf '%-12s %s\n' "$$target" "$$text"; done

demo: $(VENV)/run.stamp  ## set up, then three turns on real data; prints where the report is
	@$(VENV)/bin/bapsim demo

test: $(VENV)/dev.stamp  ## set up, then lint, types, import contract, ratchets, tests, docs, coverage (JOBS=2)
	@$(VENV)/bin/python tools/check.py --jobs $(JOBS)

prove: $(VENV)/dev.stamp  ## the long proofs: benchmarks, kills, mutants, air-gapped install (ONLY="name ...")
	@$(VENV)/bin/python tools/prove.py $(ONLY)

bundle: $(VENV)/run.stamp  ## bundle/: everything that an install without a network needs (LOCK=...)
	@rm -rf bundle && mkdir bundle
	@$(PIP) download $(LOCKED) -r $(LOCK) -d bundle
	@$(PIP) wheel --no-deps --no-build-isolation -w bundle .
	@cp $(LOCK) bundle/requirements.lock && cp tools/find_python.sh bundle/ && cp tools/bundle_install.sh bundle/install.sh
	@cd bundle && sha256sum * > SHA256SUMS
	@printf 'bundle/: %s files, %s; on the other machine: sh bundle/install.sh DIR\n' \
	"$$(ls bundle | wc -l)" "$$(du -sh bundle | cut -f1)"

docs: $(VENV)/dev.stamp  ## write the generated pages (docs/reference.md)
	@$(VENV)/bin/python tools/reference.py

format: $(VENV)/dev.stamp  ## format, and mend what the linter can mend
	@$(VENV)/bin/ruff check --quiet --fix-only . && $(VENV)/bin/ruff format .

lock:  ## both lock files from pyproject.toml, keeping pinned versions (UPGRADE=-U takes new ones)
	@tmp=$$(mktemp -d) && trap 'rm -rf "$$tmp"' EXIT && python=$$(sh tools/find_python.sh) \
	&& "$$python" -m venv "$$tmp" && "$$tmp/bin/pip" --disable-pip-version-check --quiet install uv \
	&& compile() { "$$tmp/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --custom-compile-command 'make lock' $(UPGRADE) --group build pyproject.toml "$$@"; } \
	&& compile -o requirements-run.lock && compile --extra dev -o requirements.lock

clean:  ## remove everything that make made (the environment too)
	@rm -rf $(VENV) build dist bundle demo htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	.import_linter_cache src/*.egg-info .coverage .coverage.*
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# Debian splits ensurepip off: then the venv is made bare and filled by the pip that Python has.
$(VENV)/bin/python:
	@python=$$(sh tools/find_python.sh); echo "setting up $(VENV) with $$("$$python" --version)"; \
	if ! "$$python" -m venv $(VENV) > /dev/null 2>&1; then rm -rf $(VENV); "$$python" -m venv --without-pip $(VENV) \
	&& "$$python" -m pip --disable-pip-version-check --quiet --python $(VENV)/bin/python install pip; fi

$(VENV)/run.stamp: requirements-run.lock pyproject.toml | $(VENV)/bin/python
	@$(PIP) install $(LOCKED) -r requirements-run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# jsonpath-rw (of mlcroissant, which tests what `export` writes) has no wheel: pure Python, the one exception.
$(VENV)/dev.stamp: requirements.lock $(VENV)/run.stamp
	@$(PIP) install $(LOCKED) --no-binary jsonpath-rw --no-build-isolation -r requirements.lock
	@$(PIP) check > /dev/null
	@sh tools/browser.sh install $(VENV)/bin/python > /dev/null
	@touch $@
