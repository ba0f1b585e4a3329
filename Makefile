# Needs make and Python 3.11 or later. Everything else is installed into .venv, once, by the first target that needs it.
#
#   make fit ARGS="--data.root my_photos"    train and compare
#   make test                                fast tests; ARGS="-m slow" for the slow ones, "-n 0" for one process
#   make lint                                format, lint and types, without changing a file
#   make clean                               remove .venv and caches; runs/ stays

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: fit test lint clean

fit: .venv/.installed
	$(BIN)/python -m counterfeit.fit $(ARGS)

# Two processes with one thread each: with more they would wait for each other. A file's tests share what they made.
test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: .venv/.lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv build dist *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	    { echo "$(PYTHON) is not Python 3.11 or later; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "$(PYTHON) has no venv; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

# pip is needed to install, but is no reason to install again: hence behind the bar.
.venv/.installed: pyproject.toml | $(BIN)/pip
	@echo "installing into .venv, about 2 minutes"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

.venv/.lint: .venv/.installed
	@echo "installing ruff and mypy into .venv"
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[lint]'
	@touch $@
