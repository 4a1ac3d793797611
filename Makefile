# Every target makes what it needs by itself, from python3 (>= 3.11, with venv) and make alone.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The Lambda runtime's Python, where it is installed: by its name, or by pyenv.
PYTHON313 := $(shell .ci/find-python 3.13)
SAM := .venv-sam/bin/sam
export SAM_CLI_TELEMETRY := 0
# A second DKIM verifier for the tests, where npm is installed.
MAILAUTH := $(if $(shell command -v npm),$(CURDIR)/.ci/mailauth)
# The Handlebars that ours is compared with, where npm is installed.
HANDLEBARS := $(if $(shell command -v npm),$(CURDIR)/.ci/handlebars)

# An emulator of SES to be measured beside, where npm is installed.
SES_LOCAL := $(if $(shell command -v npm),$(CURDIR)/.ci/ses-v2-local)

# Clients of SES that we did not write, for tests: those for Node, and the AWS command line, whose botocore is its own.
CLIENTS := $(if $(shell command -v npm),$(CURDIR)/.ci/clients)

# Mail servers that we did not write, for tests and benches.
FOREIGN := $(CURDIR)/.foreign

.DEFAULT_GOAL := help
.PHONY: help demo up test test-313 lint type bench fuzz images chaos crashes histories build deploy pr clean

help:  ## Say what there is
	@sed -n 's/^\([a-z0-9-]*\):.*##  *\(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

$(VENV)/.made-local: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[local]'
	@touch $@

$(VENV)/.made-dev: pyproject.toml | $(VENV)/.made-local
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/.made-local

$(SAM): .ci/sam-requirements.txt
	$(or $(PYTHON313),$(PYTHON)) -m venv .venv-sam
	.venv-sam/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/sam-requirements.txt
	@touch $@

$(MAILAUTH)/node_modules/.made: .ci/mailauth/package.json
	cd .ci/mailauth && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(CLIENTS)/node_modules/.made: .ci/clients/package.json
	cd .ci/clients && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

.venv-clients/.made: .ci/clients/requirements.txt
	$(PYTHON) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check -r .ci/clients/requirements.txt
	@touch $@

$(SES_LOCAL)/node_modules/.made: .ci/ses-v2-local/package.json
	cd .ci/ses-v2-local && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(HANDLEBARS)/node_modules/.made: .ci/handlebars/package.json
	cd .ci/handlebars && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

$(FOREIGN)/.made: .ci/foreign-servers
	.ci/foreign-servers $(FOREIGN)
	@touch $@

demo: $(VENV)/.made-local  ## Show the main job: three mails through three doors, to their ends
	$(BIN)/python -m infra.local.demo

up: $(VENV)/.made-local  ## Run the whole system on this machine until interrupted
	$(BIN)/paravion up

test: $(VENV)/.made-dev $(SAM) $(if $(MAILAUTH),$(MAILAUTH)/node_modules/.made $(HANDLEBARS)/node_modules/.made $(CLIENTS)/node_modules/.made) .venv-clients/.made $(FOREIGN)/.made test-313  ## Run every test
	PARAVION_MAILAUTH=$(MAILAUTH) PARAVION_HANDLEBARS=$(HANDLEBARS) PARAVION_SAM=$(SAM) PARAVION_PYTHON313=$(PYTHON313) $(BIN)/python -m pytest -n auto --dist loadfile

test-313: $(if $(PYTHON313),.venv-313/.made)  ## Run the unit tests on Lambda's Python, where it is installed
ifneq ($(PYTHON313),)
	.venv-313/bin/python -m pytest -n auto --dist loadfile tests/unit
else
	@echo 'python3.13 is not installed here: the unit tests run on $(PYTHON) alone'
endif

.venv-313/.made: pyproject.toml
	$(PYTHON313) -m venv .venv-313
	.venv-313/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

lint: $(VENV)/.made-dev  ## Check style, the template and the types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/cfn-lint template.yaml infra/*.yaml infra/front_door/template.yaml

type: $(VENV)/.made-dev  ## Check the types
	$(BIN)/mypy

bench: $(VENV)/.made-dev $(FOREIGN)/.made $(if $(SES_LOCAL),$(SES_LOCAL)/node_modules/.made) $(if $(PYTHON313),.venv-313/.made)  ## Measure, side by side; prints ratios
	PARAVION_SES_LOCAL=$(SES_LOCAL) PARAVION_PYTHON313=$(if $(PYTHON313),.venv-313/bin/python) $(BIN)/python tests/bench/run.py

bench-ses: $(if $(SES_LOCAL),$(SES_LOCAL)/node_modules/.made)

bench-%: $(VENV)/.made-dev $(FOREIGN)/.made  ## Measure one thing: deliver, message, …
	PARAVION_SES_LOCAL=$(SES_LOCAL) $(BIN)/python tests/bench/run.py $(subst -,_,$*)

FUZZ_S ?= 3600
FUZZ ?=
fuzz: $(VENV)/.made-dev  ## Feed hostile octets to every parser for an hour (FUZZ_S=seconds FUZZ=target)
	PYTHONPATH=layers/paravion/python:. $(BIN)/python -m tests.fuzz.targets $(FUZZ_S) $(FUZZ)

IMAGES ?= build/images
images:  ## Build both Dockerfiles and try the images: as root on Debian, without a container engine (IMAGES=folder)
	sh tests/images/check.sh $(IMAGES)

MAILS ?= 3000
KILLS ?= 20
chaos: $(VENV)/.made-dev  ## Kill it at random while mail comes and goes, then count (MAILS=, KILLS=, SEED=)
	PYTHONPATH=layers/paravion/python:. $(BIN)/python -m tests.chaos.campaign --mails $(MAILS) --kills $(KILLS) $(if $(SEED),--seed $(SEED))

crashes: $(VENV)/.made-dev  ## Die before and after every call of a mail's road, on both engines, and judge what came of it
	PARAVION_CRASH_STEPS=all $(BIN)/python -m pytest -s tests/e2e/test_crash_at_every_step.py

HISTORIES ?= 10000
HISTORIES_JOBS ?= 1
HISTORIES_MINUTES ?= 0
histories: $(VENV)/.made-dev  ## Random histories, each to its end (HISTORIES=, HISTORIES_JOBS=, HISTORIES_MINUTES=, SEED=)
	PYTHONPATH=layers/paravion/python:. $(BIN)/python -m tests.histories.campaign --histories $(HISTORIES) --jobs $(HISTORIES_JOBS) --minutes $(HISTORIES_MINUTES) $(if $(SEED),--seed $(SEED))

build: $(SAM)  ## Build what is deployed
	PATH="$(dir $(PYTHON313)):$$PATH" $(SAM) build

deploy: build  ## Deploy to your AWS account; asks for what it must know
	$(SAM) deploy --guided

pr: lint type test  ## Everything that must be green before a change lands

clean:  ## Remove what the targets made
	rm -rf $(VENV) .venv-313 .venv-sam .venv-clients .aws-sam .pytest_cache .mypy_cache .ruff_cache
