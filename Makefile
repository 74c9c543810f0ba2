# A machine needs python3 and make. The first target that needs more sets it up, quietly and once: a virtual environment
# in this folder and, if the machine has none, a redis-server.
#
#   make test ARGS="-k expiry"                          arguments for pytest
#   make bench ONLY=append                              one benchmark; ONLY reaches it as an environment variable
#   make test PYTHON=python3.12 VENV=.venv-3.12         another Python, in an environment of its own

PYTHON ?=
VENV ?= .venv
PY := $(VENV)/bin/python
# More workers than a small machine has cores: tests mostly wait for their servers.
N ?= 4

.PHONY: help run test check bench drills format clean redis gone

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: $(VENV)/.stamp redis ## Show the product: a tour against a real Redis server
	$(PY) -m workers tour

test: $(VENV)/.stamp redis ## Run all tests but the drills
	$(PY) -m pytest -n $(N) -m "not drill" $(ARGS)

check: $(VENV)/.stamp ## Check style, format and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

bench: $(VENV)/.stamp redis ## Run the benchmarks, or one of them: make bench ONLY=append
	$(PY) -m benchmarks

drills: $(VENV)/.stamp redis ## Kill, pause and flood real servers, and print what was seen (takes long)
	$(PY) -m pytest -m drill -s -o faulthandler_timeout=1800 $(ARGS)

format: $(VENV)/.stamp ## Format the code and mend what can be mended
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

clean: ## Remove all that make has made here, the environment too
	rm -rf .venv .venv-* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# Made again when what is to be installed has changed, or when the Python it was made with has gone.
$(VENV)/.stamp: pyproject.toml constraints.txt $(shell test -x '$(PY)' || echo gone)
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh tools/setup venv

redis:
	@command -v redis-server >/dev/null && command -v redis-benchmark >/dev/null || sh tools/setup redis
