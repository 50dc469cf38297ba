# One command each. `make run` and `make test` need nothing but Python >= 3.11 and make.

PYTHON ?= python3
VENV := .venv
EMULATORS := .venv-emulators
MODELS := .venv-models
CHECKOV := .venv-checkov
IMAGES := .venv-images
SBOM ?= dist/sbom
TORCH := $(shell sed -n 's/^torch==\([0-9.]*\).*/\1/p' requirements/torch.txt)
BIN := $(VENV)/bin
PACKAGES := shared functions gpu_service gateway earwitness local
JOBS ?= 2
NODE := clients/typescript/node_modules

.PHONY: run env env-test env-emulators env-models env-checkov env-images test check test-slow bench lint types contracts generated typescript typescript-types terraform archive sbom truth clean

run: env  ## start everything on this machine and open http://127.0.0.1:8080
	@exec $(BIN)/earwitness up

env: $(VENV)/.run  ## only the environment, with the `earwitness` command in it

$(VENV)/.run: requirements/run.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Earwitness needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make run PYTHON=python3.12")'
	@echo "Making the environment in $(VENV) (once, a minute or two) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

env-test: $(VENV)/.test

$(VENV)/.test: $(VENV)/.run requirements/test.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/test.txt
	@touch $@

env-emulators: $(EMULATORS)/.made  ## Google's emulators that come as packages (half a minute, 600 MB)

$(EMULATORS)/.made: requirements/emulators.txt
	@test -x $(EMULATORS)/bin/python || $(PYTHON) -m venv $(EMULATORS)
	@$(EMULATORS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/emulators.txt
	@touch $@

env-checkov: $(CHECKOV)/.made  ## the scanner of Terraform's plans (half a minute, 300 MB)

$(CHECKOV)/.made: requirements/checkov.txt
	@test -x $(CHECKOV)/bin/python || $(PYTHON) -m venv $(CHECKOV)
	@$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/checkov.txt
	@touch $@

env-models: $(MODELS)/.made  ## the engines that need torch (Python 3.11; two minutes, 1.5 GB)

$(MODELS)/.made: requirements/models.txt requirements/torch.txt
	@test -x $(MODELS)/bin/python || $(PYTHON) -m venv $(MODELS)
	@$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/torch.txt
	@$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/models.txt
	@$(MODELS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

env-images: $(IMAGES)/.made  ## what lints the Dockerfile and lists what ships (80 MB)

$(IMAGES)/.made: requirements/images.txt
	@test -x $(IMAGES)/bin/python || $(PYTHON) -m venv $(IMAGES)
	@$(IMAGES)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/images.txt
	@touch $@

test: env-test  ## the tests, and how much of the code they reach
	@rm -f .coverage .coverage.*
	@$(MAKE) --silent env-models || { echo "tests/models do not run: torch $(TORCH) for this Python on a CPU cannot be had here." >&2; test "$$CI" != true; }
	@$(BIN)/coverage run -m pytest -m "not slow and not gpu" -n $(JOBS) --dist loadgroup --no-loadscope-reorder
	@if test -e $(MODELS)/.made; then $(MODELS)/bin/coverage run -m pytest tests/models -m "not slow and not gpu" -n $(JOBS) --dist loadgroup --no-loadscope-reorder; fi
	@$(BIN)/coverage combine --quiet
	@$(BIN)/python .ci/coverage_floor.py

test-slow: env-test  ## the tests that take minutes
	@if test -e $(MODELS)/.made; then $(MODELS)/bin/python -m pytest tests/models -m "slow and not gpu" || test $$? = 5; fi
	@$(BIN)/python -m pytest -m slow

check: env-test lint types contracts generated terraform  ## everything but the tests

lint:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types:
	@$(BIN)/mypy

contracts:
	@$(BIN)/lint-imports
	@$(BIN)/python -m deploy.entry_points

generated: typescript
	@fresh=$$(mktemp -d) && trap 'rm -rf $$fresh' EXIT && $(BIN)/python -m docs.generate $$fresh && $(BIN)/python -m docs.openapi $$fresh \
	  && for file in $$(ls $$fresh); do cmp $$fresh/$$file docs/$$file || { echo "docs/$$file is old: run python -m docs.generate and python -m docs.openapi"; exit 1; }; done

typescript:  ## the TypeScript types are those of docs/openapi.json, and a program compiles with them
	@if ! command -v npm >/dev/null; then echo "clients/typescript was not checked: there is no npm here." >&2; \
	elif ! $(MAKE) --silent $(NODE)/.made; then \
	  echo "clients/typescript was not checked: its packages cannot be had here." >&2; test "$$CI" != true; \
	else npm --prefix clients/typescript run --silent check || { echo "clients/typescript/schema.d.ts is old or wrong: run make typescript-types"; exit 1; }; fi

typescript-types: $(NODE)/.made  ## write the TypeScript types anew
	@npm --prefix clients/typescript run --silent generate

$(NODE)/.made: clients/typescript/package-lock.json
	@npm --prefix clients/typescript ci --silent --no-audit --no-fund
	@touch $@

terraform:  ## terraform/ is well-formed, valid and tested, against the provider's schema
	@$(PYTHON) -m deploy.terraform

archive:  ## the functions as the cloud builds them: dist/functions.zip, the same bytes everywhere
	@$(PYTHON) -m deploy.archive

sbom: env-images  ## the bill of materials of each image, in CycloneDX's form: dist/sbom
	@mkdir -p $(SBOM)
	@for list in gateway service service-cuda; do \
	  $(IMAGES)/bin/cyclonedx-py requirements --output-reproducible --of JSON -o $(SBOM)/$$list.cdx.json requirements/$$list.txt || exit 1; done

bench: env-test  ## our figures beside those of named peers
	@$(BIN)/python -m bench

truth: env-test  ## what the answers are worth: docs/truth.md (ARGS=--replay: from the committed answers)
	@$(BIN)/python -m truth $(ARGS)

clean:  ## remove what `make` made; recordings and results stay
	rm -rf $(VENV) $(EMULATORS) $(MODELS) $(CHECKOV) $(IMAGES) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
