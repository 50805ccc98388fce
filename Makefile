# Two commands set everything up: `make demo` and `make test`. They need git, make, Python >= 3.10, cargo and a C
# compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What the compiled module is made from.
SOURCES := $(shell find rust -name '*.rs' -not -path '*/tests/*' -not -path '*/benches/*') \
	rust/core/Cargo.toml rust/py/Cargo.toml Cargo.toml Cargo.lock pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help install train dev demo picture test lint format bench bench-gpu fuzz cuda cuda-check wheel clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(VENV)/.installed ## make .venv with the package and its command-line tools
train: $(VENV)/.train ## the same, with torch and what training needs
dev: $(VENV)/.dev ## the same, with torch and everything that tests and lints need

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[plots]'
	@touch $@

$(VENV)/.train: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[train,plots]'
	@touch $@ $(VENV)/.installed

$(VENV)/.dev: $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed $(VENV)/.train

DEMO := configs/demo/oriented-rcnn-le90_r18-half_fpn_4e_synthetic.py
demo: $(VENV)/.train ## make a synthetic set, train a small detector on the CPU, score it, draw what it finds
	rm -rf demo/work demo/report demo/pictures
	$(BIN)/rotx synth demo/data --size 256 --train 1200 --val 150
	$(BIN)/rotx-train $(DEMO) --work-dir demo/work --device cpu
	$(BIN)/rotx-eval model $(DEMO) demo/work/epoch_4.pth --device cpu --ci --report demo/report --show-dir demo/pictures

SCENE := demo/scene
picture: ## draw docs/detections.jpg, the picture in the README, with the detector that `make demo` has trained
	$(BIN)/rotx synth $(SCENE) --size 544 --train 0 --val 1 --seed 2
	rm -rf $(SCENE)-results $(SCENE)-pictures
	$(BIN)/rotx predict $(DEMO) demo/work/epoch_4.pth $(SCENE)/val/images/val_0000.png --window 256 --score-thr 0.5 --device cpu \
		--out $(SCENE)-results --show-dir $(SCENE)-pictures
	cp $(SCENE)-pictures/val_0000.jpg docs/detections.jpg

test: dev ## run all tests, with a process for each core
	cargo test --quiet --package rotx-core
	$(BIN)/python -m pytest --quiet --numprocesses auto --dist loadfile --no-loadscope-reorder

lint: dev ## check format, types and style
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest rotx._rust

format: dev ## format the code
	cargo fmt --all
	$(BIN)/ruff check --fix --quiet
	$(BIN)/ruff format --quiet

bench: dev ## measure speed against named baselines
	$(BIN)/python tests/benches/bench.py
	cargo bench --package rotx-core

bench-gpu: dev ## measure the CUDA kernels on this machine's GPU; build them first, with `make cuda`
	$(BIN)/python tests/benches/gpu.py

fuzz: ## feed damaged bytes to the parsers and the readers of images for a minute
	ROTX_FUZZ_SECONDS=60 cargo test --package rotx-core --test fuzz_formats --test fuzz_images -- --test-threads 1

CUDA_LIBRARY := python/rotx/_lib/rotx_cuda.so
cuda: $(CUDA_LIBRARY) ## build the CUDA kernels, with or without a GPU, with CUDA_HOME's nvcc or PyPI's

$(CUDA_LIBRARY): $(wildcard cuda/*) $(if $(CUDA_HOME),,build/nvcc/.installed) | $(VENV)/.dev
	$(BIN)/python cuda/build.py

# Not in .venv: torch's own wheels of the CUDA runtime may be of another version.
build/nvcc/.installed: cuda/requirements.txt | $(BIN)/python
	rm -rf $(@D)
	$(BIN)/python -m pip install --quiet --no-deps --target $(@D) --requirement $<
	@touch $@

# The oldest torch that loads the library, and what its tests need.
build/torch-2.11/.installed: | $(BIN)/python
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet 'torch==2.11.*' numpy expecttest pytest
	@touch $@

cuda-check: cuda build/torch-2.11/.installed ## check that the newest torch and 2.11 load the CUDA kernels
	PYTHONPATH=python $(BIN)/python -m pytest --quiet tests/test_cuda_library.py
	PYTHONPATH=python build/torch-2.11/bin/python -m pytest --quiet tests/test_cuda_library.py

wheel: dev cuda ## build an abi3 wheel for manylinux_2_28 into dist/
	PATH="$(CURDIR)/$(BIN):$$PATH" maturin build --release --zig --compatibility manylinux_2_28 --out dist

clean: ## remove everything that is built
	rm -rf target dist demo bench-data build $(VENV) python/rotx/*.so python/rotx/_lib
