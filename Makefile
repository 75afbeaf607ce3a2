# Everything runs in .venv, made on first use from nothing but Python (>= 3.11) and make.
PYTHON ?= python3
SCENES ?= ../shared/data/s2
SPLIT ?= test
SECONDS ?= 60
BIN := .venv/bin
STAMP := .venv/.ready

.PHONY: setup demo test lint format bench downstream fuzz clean

setup: $(STAMP)

# torch first and pinned: a newer build from PyPI brings gigabytes of CUDA libraries. The pip of older Pythons
# takes minutes to resolve what a current one does in seconds.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python bench/demo.py

# The tests of threads need a process of their own: xdist's workers run tests beside another thread.
THREADS := tests/eocodec/test_cores.py tests/formats/test_eoc_pool.py

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist loadfile $(THREADS:%=--ignore %)
	$(BIN)/python -m pytest $(THREADS)

# mypy reads the built package, because the import names of the rooms differ from their folders.
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	rm -rf build/lib build/typed
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --target build/typed .
	cd build/typed && ../../$(BIN)/mypy --config-file ../../pyproject.toml -p eocodec

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# A whole run on the test split puts its tables into the README.
bench: $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m bench $(SCENES) --split $(SPLIT) --out bench-out $(BENCH) \
		$(if $(BENCH),,$(if $(filter test,$(SPLIT)),--readme README.md))

# FOLDER holds BigEarthNet or EuroSAT.
downstream: $(STAMP)
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	$(BIN)/python -m bench.downstream $(FOLDER) --out downstream-out $(BENCH)

# Coverage-guided fuzzing, SECONDS for each target; what it finds goes to fuzz-out. atheris has wheels for Python 3.11 to 3.13.
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet atheris
	$(BIN)/python -m tests.fuzz container --seconds $(SECONDS)
	$(BIN)/python -m tests.fuzz payload --seconds $(SECONDS)
	$(BIN)/python -m tests.fuzz chunk --seconds $(SECONDS)

clean:
	rm -rf .venv build dist demo-out bench-out downstream-out fuzz-out
