# The commands of this project; `make help` lists them. Everything stays in .venv and var.

.DEFAULT_GOAL := help
.PHONY: help setup run test retest lint bench chaos power fuzz audit image-check release docs screenshots constraints

# Each of the many processes that the tests start would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TESTED := $(VENV)/.tested
MINUTES := 10
CUTS := 24
# Processes of `make test`, each with a RabbitMQ of its own. Tests wait more than they compute: with four of them
# two cores are idle for a third of the time.
WORKERS := 5

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name text; do printf 'make %-12s %s\n' "$$name" "$$text"; done

setup: $(INSTALLED) ## Make .venv, and install RabbitMQ where that is possible; does nothing when all is there
	@tools/install-packages rabbitmq

# `make run` must not keep a shell between itself and nrc: signals go straight to it.
run: setup ## Start everything, show the main job, and stay up until Ctrl-C
	@exec $(BIN)/nrc up

test: setup ## Run every test, on a RabbitMQ of their own (WORKERS=)
	@rm -f $(TESTED)
	@tools/install-packages compiler
	@tools/install-packages chromium
	@tools/install-packages postgresql
	@tools/install-packages pgbouncer
	@# Two processes write the bytecode of all tests, which else each of the others would make for itself.
	@$(BIN)/pytest --collect-only -qq tests/unit >/dev/null 2>&1 & \
		$(BIN)/pytest --collect-only -qq --ignore tests/unit >/dev/null 2>&1; wait
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder; \
		code=$$?; echo $$code > $(TESTED); exit $$code

retest: $(INSTALLED) ## Run the few tests that failed in the last run once more, with nothing beside them
	@$(BIN)/python -m tools.retest $(TESTED)

lint: $(INSTALLED) ## Check style, types and the direction of imports
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup ## Measure latency and throughput on this machine
	$(BIN)/python -m bench

chaos: setup ## Do every fault under load and write the loss certificate; some forty minutes
	@tools/install-packages compiler
	$(BIN)/python -m tests.chaos --out docs/loss-certificate.md --json docs/loss-certificate.json \
		--power docs/power-cuts.json

power: setup ## Cut the power under load, for the loss certificate; twenty minutes, as root on Linux (CUTS=)
	$(BIN)/python -m tests.chaos.power --cuts $(CUTS) --json docs/power-cuts.json

fuzz: setup ## Send what nobody foresaw to the running product, other examples each time; ten minutes (MINUTES=)
	$(BIN)/python -m tests.fuzz --minutes $(MINUTES)
	NRC_TEST_FUZZ_PAGES=3000 $(BIN)/python -m pytest -q tests/fuzz/test_pages.py

audit: $(INSTALLED) ## Look for known vulnerabilities in the pinned packages; asks the Python index, so needs it
	@tools/make-venv $(VENV)/audit
	@$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	$(VENV)/audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

image-check: $(INSTALLED) ## Make what is in the image twice, and compare; asks the Python index; some minutes
	$(BIN)/python -m tools.image_check

release: $(INSTALLED) ## Write the bill of materials (SBOM) to dist/ and tag the version; DRY_RUN=1 says what it would do
	@$(BIN)/python -m tools.release $(if $(DRY_RUN),--dry-run)

docs: $(INSTALLED) ## Make the pages of docs/ that come from the code
	$(BIN)/nrc settings --markdown > docs/settings.md
	$(BIN)/python -m tools.modules
	$(BIN)/python -m tools.dashboard
	$(BIN)/python -m tools.chart
	$(BIN)/python -m bench capacity --write

screenshots: setup ## Take the pictures of docs/images/ again, of the real product with made up data
	@tools/install-packages chromium
	$(BIN)/python -m tools.screenshots

# setuptools: a Python before 3.12 brings its own, which is not ours to pin.
constraints: $(INSTALLED) ## Write constraints.txt from what .venv holds now
	{ $(BIN)/pip freeze --exclude-editable --exclude setuptools | grep -v '^#'; echo setuptools==67.4.0; } > constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@tools/make-venv $(VENV)
	@echo 'Installing Python packages; the first time this takes a minute.'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@
