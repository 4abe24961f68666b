# Each target sets up what it needs in .venv by itself.
PY := .venv/bin/python
export HF_HUB_OFFLINE := 1
# Tests that share what was dear to make stay together, and the two processes fill the cores: more threads only wait.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist worksteal

.PHONY: demo test lint check soak audit bench-setup clean

demo: .venv/.installed
	.venv/bin/honeyguide demo

test: .venv/.installed
	$(PYTEST) --durations=15

lint: .venv/.installed
	.venv/bin/ruff check src tests benchmarks
	.venv/bin/ruff format --check src tests benchmarks
	.venv/bin/mypy
	.venv/bin/lint-imports

check: lint
	$(PYTEST) -m "not slow" -q

# The tests of faults with their full numbers, which takes about an hour; docs/reliability.md has the figures.
soak: .venv/.installed
	HONEYGUIDE_SOAK=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(PY) -m pytest tests/test_faults_*.py tests/test_serve_models.py

# What is known against the packages that are installed; it fails where one cannot be looked up, too.
audit: .venv/.installed
	$(PY) -m pip_audit --strict --skip-editable --progress-spinner off

# Rivals' dependencies exclude each other and ours, so each lives by itself.
bench-setup: .venv/.installed .venv-rivals/rectools/.installed .venv-rivals/recbole/.installed \
	.venv-rivals/obp/.installed .venv-rivals/vw/.installed

.venv-rivals/%/.installed: benchmarks/rivals/%/requirements.txt
	python3 -m venv .venv-rivals/$*
	.venv-rivals/$*/bin/python -m pip install --quiet -r $<
	touch $@

# It asks for an older Python than it runs on, and for more than it needs.
.venv-rivals/obp/.installed: benchmarks/rivals/obp/requirements.txt
	python3 -m venv .venv-rivals/obp
	.venv-rivals/obp/bin/python -m pip install --quiet --no-deps --ignore-requires-python -r $<
	touch $@

.venv/.installed: pyproject.toml constraints.txt
	python3 -m venv .venv
	$(PY) -m pip install --quiet -c constraints.txt -e '.[train,track,demo,serve,postgres,dev]'
	touch $@

clean:
	rm -rf .venv .venv-rivals demo-shop
