# Temper. `make` lists the targets. Everything a target needs, it installs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
PROFILE ?= default
STORE ?= work/store
UV := .uv/bin/uv
STAGES := .venv/bin/python -m stages
LOCKS := containers/requirements
USED := accelerate, boto3, hypothesis, jsonschema, mlflow, peft, polars, pyarrow.dataset, pytest, transformers.models.llama.modeling_llama
# uv does not read pip's configuration, which may name a folder with a CPU build of torch.
export UV_FIND_LINKS ?= $(shell $(PYTHON) -m pip config get global.find-links 2>/dev/null)
# Empty lets Python keep what it compiled: every process would else compile what it imports, for seconds.
export PYTHONDONTWRITEBYTECODE :=
export TEMPER_STORE ?= $(STORE)

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(UV) ## make both environments from the locked requirements, side by side
	@$(MAKE) --silent --no-print-directory --jobs=2 .venv/ready .venv-airflow/ready

$(UV):
	$(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check uv==0.13.8

# The import compiles what is used of 21,000 modules, once: a container or a scheduler may not be able to write it later.
.venv/ready: $(UV) $(LOCKS)/dev.txt
	@echo "making .venv: the stages, their tests and tools"
	$(UV) venv --quiet --clear --python $(PYTHON) .venv && $(UV) pip install --quiet --python .venv -r $(LOCKS)/dev.txt
	.venv/bin/python -c "import $(USED)" && touch $@

.venv-airflow/ready: $(UV) $(LOCKS)/airflow.txt
	@echo "making .venv-airflow: the orchestrator"
	$(UV) venv --quiet --clear --python $(PYTHON) .venv-airflow && $(UV) pip install --quiet --compile-bytecode --python .venv-airflow -r $(LOCKS)/airflow.txt && touch $@

demo: setup ## five dialects of generated raw data to a registered model, through Airflow
	.venv/bin/python -m infra.demo

run: setup base ## curate and tune your own data: make run SOURCE=<file, folder> PROFILE=<name>
	$(STAGES) pipeline all --profile $(PROFILE) $(foreach source,$(SOURCE),--source raw=$(source))

sweep: setup base ## learning rate, data size, mask and consistency tried out, through Airflow: TEMPER_SWEEP=<name|file> make sweep
	.venv/bin/python -m infra.sweep

base: setup ## the tiny base model of the demo (cached)
	.venv/bin/python -m infra.demo base

test: setup ## the whole suite, fast tier first
	.venv/bin/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

check: setup ## format, lint, types, generated documents: under a minute
	.venv/bin/ruff format --check . && .venv/bin/ruff check .
	.venv/bin/mypy
	$(STAGES) docs --check

docs: setup ## write the generated parts of the documents
	$(STAGES) docs

up: setup base ## Airflow and MLflow on this machine, in the background, bound to loopback
	.venv/bin/python -m infra.local up

down: ## stop what `make up` started
	.venv/bin/python -m infra.local down

image: setup ## build the image of a stage: make image STAGE=dedup
	.venv/bin/python -m infra.images build $(STAGE)

container-test: setup ## a stage in its container gives the same bytes as in a process: make container-test STAGE=dedup
	.venv/bin/python -m infra.images compare $(STAGE)

lock: $(UV) ## resolve containers/requirements/*.in again
	rm -f $(LOCKS)/*.txt  # an old lock would be preferred, and with it another build of torch
	for name in data train dev airflow; do \
	  $(UV) pip compile --quiet --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate --no-header \
	    --output-file $(LOCKS)/$$name.txt $(LOCKS)/$$name.in; done
	sed -i 's/^torch==\([0-9.]*\)+cpu$$/torch==\1/' $(LOCKS)/*.txt  # a CPU build satisfies the plain version too

clean: ## remove environments, caches and results
	rm -rf .venv .venv-airflow .uv work .pytest_cache .ruff_cache .mypy_cache .hypothesis

.PHONY: help setup demo run sweep base test check docs up down image container-test lock clean
