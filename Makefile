# Set-up, run and test. In: Python 3.11 or newer, make, a package index. Out: `.venv`, and what the target says.
# A step that is done leaves a stamp in .venv, named after what it was done with: a second run installs nothing.
# Variables of the environment, INKDIGIT_DATA among them, reach every command as they are.

# One or more words as pip takes them: a requirement, or an index option and a requirement.
TORCH ?= torch==2.13.0
# The interpreters to try, in this order.
PYTHON ?= python3.13 python3.12 python3.11 python3

export TORCH
PY := .venv/bin/python
PIP := $(PY) -m pip install -q --disable-pip-version-check
KEY := $(shell { cat pyproject.toml constraints.txt; echo '$(TORCH)'; } | cksum | cut -d ' ' -f 1)
# No pip that starts, or one that belongs to another folder: the environment is half-made or was moved. Make it anew.
HEALTHY := $(shell grep -qsF '$(CURDIR)/.venv/' .venv/bin/pip && $(PY) -m pip --version 2>/dev/null)
DEV := .venv/.dev-$(KEY)
# The dev extra holds the train extra.
TRAIN := $(or $(wildcard $(DEV)),.venv/.train-$(KEY))
# The dev extra holds the docs extra, too; alone it needs no PyTorch.
DOCS := $(or $(wildcard $(DEV)),.venv/.docs-$(KEY))
# Ray and pyarrow, and a server of S3's protocol to test with: large, and nothing else needs them.
SCALE := .venv/.scale-$(KEY)
SCALE_TESTS := moto[s3] flask flask-cors
# The peers live apart, so that neither side sees the other's libraries.
PEERS := .venv-peers/.done-$(shell { cat benchmarks/requirements-peers.txt; echo '$(TORCH)'; } | cksum | cut -d ' ' -f 1)

# The tools of a release live apart, too.
RELEASE_PY := .venv-release/bin/python
RELEASE := .venv-release/.done-$(shell cksum < release/requirements.txt | cut -d ' ' -f 1)

.PHONY: help run test scale lint docs coverage fuzz soak bench release-check clean venv
.NOTPARALLEL:

help:  ## say what there is to make (the default)
	@echo "Inkdigit reads handwritten digits. Targets:"
	@sed -n 's/^\([a-z-]*\):.*  ## /\1 /p' Makefile | while read -r name text; do \
	  printf '  make %-13s %s\n' "$$name" "$$text"; done
	@echo "Variables:"
	@echo "  TORCH          another PyTorch, as pip takes it (now: $$TORCH)"
	@echo "  PYTHON         another interpreter (now the first of: $(PYTHON))"
	@echo "  INKDIGIT_DATA  the folder that holds the data sets"

run: $(TRAIN)  ## train the fast recipe, write its report, read examples/*.png
	@.venv/bin/inkdigit first-run examples

test: lint scale  ## lint, types, import contracts, tests
	$(PY) -m pytest -n 2 --dist worksteal

scale: $(DEV)  # may fail: then the tests that need it are skipped
	@test -e $(SCALE) || { echo "Installing what inkdigit batch and --engine ray need" && \
	  ($(call quietly,-c constraints.txt -c .venv/torch.txt -e '.[scale]' $(SCALE_TESTS))) && touch $(SCALE); } || \
	  echo "Ray or pyarrow cannot be installed here: the tests of batch and of --engine ray are skipped" >&2

lint: $(DEV)  ## lint, format, types, import contracts
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(PY) -m mypy --platform win32
	.venv/bin/lint-imports

docs: $(DOCS)  ## build the documentation site: open site/index.html
	@$(PY) docs/build.py

coverage: $(DEV)  ## which lines no test runs, those of started processes counted: twice as long as the tests
	@rm -rf .coverage
	-$(PY) -m coverage run -m pytest -n 2 --dist worksteal
	@$(PY) -m coverage combine -q
	$(PY) -m coverage report

fuzz: $(DEV)  ## ten thousand inputs with something wrong in them: two or three minutes
	$(PY) -m benchmarks.hardening.fuzz
	$(PY) -m benchmarks.hardening.page

soak: $(DEV) scale  ## slow tests, kills of trainings and batches, full disks, two commands at once: half an hour
	$(PY) -m pytest -m slow
	$(PY) -m benchmarks.hardening.soak
	$(PY) -m benchmarks.hardening.page
	$(PY) -m benchmarks.scale.drills
	$(PY) -m benchmarks.scale.page

bench: $(TRAIN) $(PEERS)  ## measure everything on docs/benchmarks.md: an hour or two on a quiet machine
	-$(PY) -m benchmarks.speed.bench
	$(PY) -m benchmarks.speed.stages
	$(PY) -m benchmarks.speed.loop
	$(PY) -m benchmarks.speed.answering
	$(PY) -m benchmarks.speed.whole
	$(PY) -m benchmarks.speed.int8
	$(PY) -m benchmarks.speed.page
	$(PY) docs/generate.py

release-check: $(RELEASE)  ## build wheel and sdist; install them bare and with the oldest dependencies, and use them
	$(RELEASE_PY) -m release.check

clean:  ## remove .venv, .venv-peers, .venv-release, caches and builds; runs/ and data/ stay
	@rm -rf .venv .venv-peers .venv-release dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage
	@find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

venv:
	@for python in $(PYTHON); do \
	  if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    echo "Making .venv with $$($$python --version)"; \
	    exec $$python -m venv --clear .venv; \
	  fi; \
	done; \
	echo "No Python to make .venv with. Expected: Python 3.11 or newer with venv and ensurepip, as one of: $(PYTHON)." \
	  "Received: $$(python3 --version 2>&1). Install one, or name it: make run PYTHON=/path/to/python3" >&2; \
	exit 1

# torch comes first and alone, so that whichever build TORCH names satisfies the project; from then on it stays.
.venv/.torch-$(KEY): $(if $(HEALTHY),,venv)
	@echo "Installing $$TORCH: the largest part, minutes on a slow line"
	@rm -f .venv/.torch-* .venv/.train-* .venv/.dev-* .venv/.docs-* .venv/.scale-*
	@$(call quietly,$$TORCH)
	@$(PY) -c 'from importlib.metadata import version; print("torch==" + version("torch"))' > .venv/torch.txt
	@touch $@

.venv/.train-$(KEY): .venv/.torch-$(KEY)
	@echo "Installing Inkdigit with what training needs"
	@$(call quietly,-c constraints.txt -c .venv/torch.txt -e '.[train]')
	@touch $@

$(DEV): .venv/.torch-$(KEY)
	@echo "Installing Inkdigit with what training and testing need"
	@$(call quietly,-c constraints.txt -c .venv/torch.txt -e '.[dev]')
	@touch $@

.venv/.docs-$(KEY): $(if $(HEALTHY),,venv)
	@echo "Installing what the documentation site is built with"
	@$(call quietly,-c constraints.txt -e '.[docs]')
	@touch $@

$(PEERS): | $(TRAIN)
	@echo "Installing the peers of the benchmarks, TensorFlow among them: minutes on a slow line"
	@$(PY) -m venv --clear .venv-peers
	@.venv-peers/bin/python -m pip install -q --disable-pip-version-check $$TORCH -r benchmarks/requirements-peers.txt
	@touch $@

$(RELEASE): | .venv/.torch-$(KEY)
	@echo "Installing what checks a release"
	@$(PY) -m venv --clear .venv-release
	@$(RELEASE_PY) -m pip install -q --disable-pip-version-check -r release/requirements.txt
	@touch $@

# $(call quietly,ARGUMENTS): pip install, heard only when it fails. pip writes INSTALLER when a package is complete: one
# without it was cut off, and pip would take it for installed.
define quietly
	find .venv/lib/python*/site-packages -maxdepth 1 -name '*.dist-info' ! -exec test -e '{}/INSTALLER' ';' -prune -exec rm -rf '{}' + ; \
	$(PIP) $(1) > .venv/pip.log 2>&1 || { cat .venv/pip.log >&2; exit 1; }
endef
