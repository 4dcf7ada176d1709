# Everything a fresh machine needs: Python 3.11 or newer with venv, and make.
# PDF reports also want Pango: apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
BIN = $(VENV)/bin
SOURCES = auditor tests benchmarks scripts sample_models

.PHONY: demo test benchmark-detection benchmark-detection-fast benchmark-recorder benchmark-report coverage lint golden docs screenshots wheel clean

demo: $(VENV)/ready
	@$(BIN)/audit run sample_models/digits_cnn --out audit-report
	@echo
	@echo "The report: $(CURDIR)/audit-report/report.html"

# Tests start dozens of audits as users do: compiled once, each starts a second sooner.
test: $(VENV)/ready-dev
	$(BIN)/python -m compileall -q auditor
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not alone" --durations=25
	$(BIN)/python -m pytest -m alone $$(grep -rl --include='test_*.py' 'mark\.alone' tests)

benchmark-detection: $(VENV)/ready-dev
	rm -rf benchmark-detection
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.detection

benchmark-detection-fast: $(VENV)/ready-dev
	rm -rf benchmark-detection
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.detection --fast

# From record to HTML and PDF, in a process of its own each time; wants a quiet machine.
benchmark-report: $(VENV)/ready-dev
	$(BIN)/audit run sample_models/digits_cnn --quiet --format json --out benchmark-report
	$(BIN)/python -m benchmarks.report benchmark-report/record.json

# What a Recorder costs small trainings on a CPU; minutes, wants a quiet machine.
benchmark-recorder: $(VENV)/ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.recorder

coverage: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term:skip-covered

lint: $(VENV)/ready-dev
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/make_docs.py --check

golden: $(VENV)/ready-dev
	$(BIN)/python -m pytest tests/golden --golden

docs: $(VENV)/ready-dev
	$(BIN)/python scripts/make_docs.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "The site: $(CURDIR)/site/index.html"

# The pictures of the documents; RECORDS=<folder> takes the sample models' records out of a folder.
screenshots: $(VENV)/ready-dev
	$(BIN)/python scripts/make_screenshots.py $(if $(RECORDS),--records $(RECORDS))

wheel: $(VENV)/ready-dev
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf $(VENV) dist site audit-report benchmark-detection benchmark-report .coverage* .mypy_cache .pytest_cache .ruff_cache

# torch first, by itself: its CPU build serves, and no other package may pull in another one.
$(VENV)/torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "auditor needs Python 3.11 or newer; set PYTHON=python3.x" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv is missing: apt-get install python3-venv" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	@touch $@

$(VENV)/ready: $(VENV)/torch pyproject.toml
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable '.[dev]'
	@touch $@
