# Each target does all its own set-up: Python 3.11+, make and pip are all it needs. `make demo PYTHON=3.13`
# (a version that uv finds, or a path) takes that Python.
PYTHON ?= python3
VENV   := .venv$(if $(filter python3,$(PYTHON)),,-$(subst /,_,$(PYTHON)))
BIN    := $(VENV)/bin
UV     := $(or $(shell command -v uv),.tools/bin/uv)
READY  := $(VENV)/.ready

# As users have it. With this variable set, as in many images of containers, each of the thousands of Pythons that tests
# start would compile all its modules.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-r test-fast test-newest test-lowest test-third-party coverage check format docs linkcheck build \
	conformance bench soak clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## Run real work on the emulated AWS, start to finish
	$(BIN)/dolambda demo

test: $(READY) ## Run the whole suite; no AWS account needed
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# Installs R and its packages where they are missing, which needs root.
test-r: $(READY) ## Test R's side; installs R where it is missing
	@command -v Rscript >/dev/null || \
	    apt-get install --yes --no-install-recommends $$(sed -n 's/^\(r-[a-z.-]*\).*/\1/p' .ci/apt.txt)
	$(BIN)/pytest --numprocesses 2 --dist loadfile tests/unit/r tests/unit/environment/test_r_layers.py tests/integration/test_r_*.py

test-fast: $(READY) ## Run the unit tests, in seconds
	$(BIN)/pytest tests/unit

# With the newest versions of all dependencies instead of the lock's: the unit tests of what uses them, and one journey.
test-newest: | $(UV) ## Test with the newest version of each dependency
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)-newest
	$(UV) pip install --quiet --python $(VENV)-newest --upgrade --group dev --editable '.[demo,zstd]'
	$(VENV)-newest/bin/pytest --numprocesses 2 --dist loadfile tests/integration/test_api.py \
		$(addprefix tests/unit/,aws loops scheduler transport wire test_joblib.py cli/test_help.py)

# With the lowest version that pyproject.toml allows of each dependency.
test-lowest: | $(UV) ## Test with the lowest version of each dependency
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)-lowest
	$(UV) pip compile --quiet --python $(VENV)-lowest --resolution lowest-direct --extra demo --extra zstd \
		--no-header --no-annotate pyproject.toml --output-file $(VENV)-lowest/lowest.txt
	$(UV) pip install --quiet --python $(VENV)-lowest --requirement $(VENV)-lowest/lowest.txt --group dev
	$(UV) pip install --quiet --python $(VENV)-lowest --no-deps --editable .
	$(VENV)-lowest/bin/pytest --numprocesses 2 --dist loadfile tests/unit tests/integration/test_api.py

# In an environment of its own: workers get all that is installed in it.
test-third-party: $(VENV)-third-party/.ready ## Test with mne, librosa, scikit-image, astropy, dask
	$(VENV)-third-party/bin/pytest tests/integration/test_third_party.py

check: $(READY) ## Run ruff, mypy, pyright and import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

# What workers run in the emulator is not counted: it has an interpreter of its own.
coverage: $(READY) ## Measure what the tests reach; fails below the floor in pyproject.toml
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses 2 --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage html --quiet
	$(BIN)/coverage report

format: $(READY) ## Format the code, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Warnings are errors, tutorials run on the emulated AWS, links within the site are checked.
docs: $(VENV)-docs/.ready ## Build the documentation into docs/_build/html
	TMPDIR=$$(mktemp -d) PATH="$(abspath $(VENV)-docs/bin):$$PATH" \
		$(VENV)-docs/bin/sphinx-build -W --keep-going -q -b html docs docs/_build/html

linkcheck: $(VENV)-docs/.ready ## Check links to other sites
	$(VENV)-docs/bin/sphinx-build -q -b linkcheck -D nb_execution_mode=off docs docs/_build/linkcheck

build: $(READY) ## Build and check the wheel and the source distribution, into dist/
	rm -rf dist
	$(UV) build --quiet --out-dir dist
	$(UV) tool run --from 'twine>=6.1' twine check --strict dist/*

conformance: $(READY) ## Count what passes of other projects' suites
	$(BIN)/python tests/conformance/count.py

# In an environment of its own, with the peers that are measured too. Some 40 minutes; --write keeps the figures.
bench: $(VENV)-bench/.ready ## Measure; some 40 minutes
	$(VENV)-bench/bin/python bench/local_start.py --write
	$(VENV)-bench/bin/python bench/journey.py --write
	$(VENV)-bench/bin/python bench/shipping.py
	$(VENV)-bench/bin/python bench/foreach.py
	$(VENV)-bench/bin/python bench/sizes.py --write
	$(VENV)-bench/bin/python bench/floor.py --write
	$(VENV)-bench/bin/python bench/peers.py --write
	$(VENV)-bench/bin/python bench/makespan.py --write
	$(VENV)-bench/bin/python bench/r.py --write
	$(VENV)-bench/bin/python bench/report_page.py --write
	$(VENV)-bench/bin/python bench/quote.py --write

# Benchmarks and soaks use the simulated AWS in tests/support.
bench soak: export PYTHONPATH = tests

soak: $(READY) ## Run thousands of tasks that misbehave
	$(BIN)/python bench/soak.py
	$(BIN)/python bench/kills.py
	$(BIN)/python bench/killed_parts.py
	$(BIN)/pytest -m soak

clean: ## Remove all that these targets have made
	rm -rf .venv* .tools dist htmlcov .coverage docs/_build docs/jupyter_execute docs/reference/generated .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements/dev.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip install --quiet --python $(VENV) --requirement requirements/dev.lock
	$(UV) pip install --quiet --python $(VENV) --no-deps --editable .
	touch $(READY)

$(VENV)-%/.ready: requirements/%.lock pyproject.toml | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(@D)
	$(UV) pip install --quiet --python $(@D) --requirement $<
	$(UV) pip install --quiet --python $(@D) --no-deps --editable .
	touch $@

.tools/bin/uv: | requirements/dev.lock
	python3 -m venv .tools
	.tools/bin/pip install --quiet --constraint requirements/dev.lock uv
