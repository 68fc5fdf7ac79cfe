# Each target does all its own set-up: Python 3.11+, make and pip are all it needs. `make demo PYTHON=3.13`
# (a version that uv finds, or a path) takes that Python.
PYTHON ?= python3
VENV   := .venv$(if $(filter python3,$(PYTHON)),,-$(subst /,_,$(PYTHON)))
BIN    := $(VENV)/bin
UV     := $(or $(shell command -v uv),.tools/bin/uv)
READY  := $(VENV)/.ready

.PHONY: demo test test-r test-fast test-newest test-third-party check conformance bench soak clean

demo: $(READY)
	$(BIN)/dolambda demo

test: $(READY)
	$(BIN)/pytest --numprocesses 2 --dist loadfile

# Installs R and its packages where they are missing, which needs root.
test-r: $(READY)
	@command -v Rscript >/dev/null || \
	    apt-get install --yes --no-install-recommends $$(sed -n 's/^\(r-[a-z.-]*\).*/\1/p' .ci/apt.txt)
	$(BIN)/pytest --numprocesses 2 --dist loadfile tests/unit/r tests/unit/environment/test_r_layers.py tests/integration/test_r_*.py

test-fast: $(READY)
	$(BIN)/pytest tests/unit

# With the newest versions of all dependencies instead of the lock's: the unit tests and one journey.
test-newest: | $(UV)
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)-newest
	$(UV) pip install --quiet --python $(VENV)-newest --upgrade --group dev --editable '.[demo,zstd]'
	$(VENV)-newest/bin/pytest --numprocesses 2 --dist loadfile tests/unit tests/integration/test_api.py

# In an environment of its own: workers get all that is installed in it.
test-third-party: $(VENV)-third-party/.ready
	$(VENV)-third-party/bin/pytest tests/integration/test_third_party.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

conformance: $(READY)
	$(BIN)/python tests/conformance/count.py

# In an environment of its own, with the peers that are measured too. Some 40 minutes; --write keeps the figures.
bench: $(VENV)-bench/.ready
	$(VENV)-bench/bin/python bench/journey.py --write
	$(VENV)-bench/bin/python bench/shipping.py
	$(VENV)-bench/bin/python bench/foreach.py
	$(VENV)-bench/bin/python bench/sizes.py --write
	$(VENV)-bench/bin/python bench/floor.py --write
	$(VENV)-bench/bin/python bench/peers.py --write
	$(VENV)-bench/bin/python bench/makespan.py --write

# Benchmarks and soaks use the simulated AWS in tests/support.
bench soak: export PYTHONPATH = tests

soak: $(READY)
	$(BIN)/python bench/soak.py
	$(BIN)/python bench/kills.py
	$(BIN)/python bench/killed_parts.py

clean:
	rm -rf .venv* .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

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
