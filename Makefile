# SPDX-License-Identifier: Apache-2.0
# 'make' alone lists the targets. PRESET=debug|asan|tsan builds and tests another way; JOBS=n limits the compilers;
# ARGS="--epochs 1" goes to the program that a target runs.

PRESET ?= release
JOBS ?=
ARGS ?=
BUILD := build/$(PRESET)
PYTHON3 := .venv/bin/python
# One make at a time sets up or builds; others wait for it.
LOCKED := $(if $(shell command -v flock),flock build/.lock)

.PHONY: help setup configure build resnet50 wheel test fuzz reference bench check format clean
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z0-9]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: ## install what is missing: Debian packages (asks sudo where not root) and .venv
	@mkdir -p build && $(LOCKED) python3 tools/setup.py

# Ninja configures again by itself where a CMake file or the set of sources has changed.
configure: setup
	@if [ ! -f $(BUILD)/build.ninja ] || [ CMakePresets.json -nt $(BUILD)/build.ninja ]; then \
	  echo "configure: $(BUILD)"; \
	  $(LOCKED) cmake --preset $(PRESET) >build/configure-$(PRESET).log 2>&1 \
	    || { cat build/configure-$(PRESET).log; exit 1; }; \
	  sed -n '/^-- Rutile /,/^-- Configuring done/{/^-- Configuring/!p}' build/configure-$(PRESET).log; fi

build: configure ## build everything
	@echo "build: $(BUILD)"
	@$(LOCKED) cmake --build $(BUILD) $(if $(JOBS),-j $(JOBS))

resnet50: configure ## train ResNet-50 on Fashion-MNIST, from a fresh clone on
	@echo "build: $(BUILD)/bin/resnet50"
	@$(LOCKED) cmake --build $(BUILD) --target resnet50 $(if $(JOBS),-j $(JOBS))
	@echo "train: $(BUILD)/bin/resnet50"
	@$(BUILD)/bin/resnet50 --dataset fashion-mnist --checkpoint build/resnet50-checkpoint \
	  --json build/resnet50.json $(ARGS)

test: build ## build and run all tests, C++ and Python
	@echo "test: $(BUILD)"
	@ctest --test-dir $(BUILD) -j 2 --output-on-failure --no-tests=ignore $(ARGS) </dev/null

wheel: setup ## a wheel of the Python package in dist/ (ARGS=--all: for every Python that is found)
	@$(LOCKED) python3 tools/wheel.py $(ARGS)

fuzz: setup ## libFuzzer on every file reader, RUTILE_FUZZ_SECONDS=60 each (clang)
	@$(MAKE) configure PRESET=fuzz
	@$(LOCKED) cmake --build build/fuzz --target fuzzers $(if $(JOBS),-j $(JOBS))
	@$(PYTHON3) tools/run_fuzzers.py

reference: configure ## the reference of the public headers and of Python: build/reference/html
	@$(LOCKED) cmake --build $(BUILD) --target _rutile $(if $(JOBS),-j $(JOBS))
	@PRESET=$(PRESET) python3 tools/reference.py

bench: build ## build and run the benchmarks
	@if [ -f benchmarks/run.py ]; then $(PYTHON3) benchmarks/run.py --build $(BUILD) $(ARGS); \
	else for program in $(BUILD)/bin/bench/bench_*; do \
	  if [ -x "$$program" ]; then "$$program" $(ARGS) || exit 1; fi; done; fi

check: ## layers, sizes, headers of files, format
	@python3 tools/check_layers.py
	@python3 tools/check_sizes.py
	@python3 tools/check_text.py
	@python3 tools/embed_examples.py --check
	@python3 tools/format.py --check

format: ## format the C++ sources in place
	@python3 tools/format.py

clean: ## remove the build trees and wheels (.venv stays)
	@rm -rf build dist
