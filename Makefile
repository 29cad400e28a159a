# Everything runs from .venv, which `make setup` makes; nothing else on the machine is touched.
BIN := .venv/bin
STAMP := .venv/.installed
UV := .tools/bin/uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header
DEMO := runs/demo

PYTEST := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 $(BIN)/python -m pytest --import-mode=importlib \
	--timeout=300 --numprocesses=2 --dist=loadfile --no-loadscope-reorder
RELEASE := .tools/release
DOCS := .tools/docs
VERSION ?= $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

.PHONY: setup demo examples notebooks test test-quick coverage faults arm64 lint types plan docs requirements dist clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt requirements/uv.txt requirements/setup.sh pyproject.toml
	@PYTHON="$(PYTHON)" requirements/setup.sh
	@touch $@

# The main job on data that ships with scikit-learn: a teacher, then half its measured latency.
# The teacher is kept between runs; the compressed model is made anew.
demo: $(DEMO)/teacher/weights.safetensors
	@rm -rf $(DEMO)/half
	$(BIN)/edgespiral compress resnet20 --data digits --target host-cpu --speedup 2 \
		--weights $(DEMO)/teacher/weights.safetensors --out $(DEMO)/half

$(DEMO)/teacher/weights.safetensors: | $(STAMP)
	$(BIN)/edgespiral train resnet20 --data digits --out $(DEMO)/teacher --resume

test: $(STAMP)
	$(PYTEST)

# What is worth running after every change: under a minute on two cores (tests/tiers.py).
test-quick: $(STAMP)
	$(PYTEST) -m quick $$($(BIN)/python tests/tiers.py)

# The whole suite, with the lines and branches that it runs; processes that tests start count too.
coverage: $(STAMP)
	@rm -f .coverage .coverage.*
	$(PYTEST) --cov --cov-report=term:skip-covered

# Thousands of seeded faults against the real product, in a sandbox (docs/faults.md).
faults: $(STAMP)
	$(BIN)/python -m tests.faults --minutes 28 --out bench/results/faults.json $(FAULTS)

# The way to an ARM64 device, on one that QEMU emulates (docs/targets.md): asks for root, qemu-user-static
# and debootstrap. It shows that the way holds; its times mean nothing.
arm64: $(STAMP)
	$(BIN)/python -m tests.arm64 $(ARM64)

# Each example as a reader runs it, with all of its data, in a folder of its own; then each notebook in
# a kernel, which `make test` leaves out.
examples: $(STAMP)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && cd "$$folder" && \
	for script in $(CURDIR)/examples/*/main.py; do \
		echo "python $$script"; $(CURDIR)/$(BIN)/python "$$script" || exit 1; \
	done
	$(PYTEST) -m examples tests/test_examples.py

notebooks: $(STAMP)
	$(BIN)/python examples/write_notebooks.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)
	$(BIN)/mypy

# Writes what follows from the fields of a plan, the command line's options and a table of the docs,
# then the page of all commands, and the schemas of records.
plan: $(STAMP)
	$(BIN)/python -m edgespiral.cli.write_plan_options
	$(BIN)/python -m edgespiral.cli.write_commands
	$(BIN)/python -m edgespiral.cli.write_schemas

# The site of docs/, in build/site/VERSION: every link and anchor is checked, and a warning is an
# error. Versions that were built before stay beside it, and its menu leads to them.
docs: $(DOCS)/.installed
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict --clean --site-dir build/site/$(VERSION)
	$(DOCS)/bin/python docs/site_versions.py build/site

$(DOCS)/.installed: requirements/docs.txt | $(UV)
	@$(UV) venv --quiet --clear --python .tools/bin/python $(DOCS)
	@VIRTUAL_ENV=$(DOCS) $(UV) pip sync --quiet --require-hashes requirements/docs.txt
	@touch $@

# Writes requirements/*.txt anew from pyproject.toml and requirements/*.in.
requirements: $(UV)
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) pyproject.toml requirements/dev.in -c requirements/constraints.txt \
		-o requirements/dev.txt
	$(COMPILE) requirements/release.in -o requirements/release.txt
	$(COMPILE) requirements/docs.in -o requirements/docs.txt
	@! grep -n '://\|--index\|--find-links' requirements/*.txt

# The archives that are published, and whether an index can show their page.
dist: $(UV)
	@rm -rf dist $(RELEASE)
	@$(UV) venv --quiet --python .tools/bin/python $(RELEASE)
	@VIRTUAL_ENV=$(RELEASE) $(UV) pip sync --quiet --require-hashes requirements/release.txt
	VIRTUAL_ENV=$(RELEASE) $(UV) build --quiet --no-build-isolation --out-dir dist
	$(RELEASE)/bin/twine check --strict dist/*.whl dist/*.tar.gz

$(UV):
	@PYTHON="$(PYTHON)" requirements/setup.sh

clean:
	rm -rf .tools .venv runs build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
