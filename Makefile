# The verbs of this repository. `make` alone lists them.
#
# Plain make and sh, the same on Linux and macOS. Everything is installed below .venv, from the
# pinned and hashed requirements/; nothing outside the checkout is touched.

# The interpreter that .venv is made with. Empty: the first of the usual names that is 3.11 or later.
PYTHON ?=
PORT ?= 8080
# Further arguments of the verb: make run ARGS="--database postgres", make test ARGS=tests/unit
ARGS =

IN_VENV = .venv/bin/
PIP_INSTALL = $(IN_VENV)python -m pip install --quiet --disable-pip-version-check
LOCK = $(IN_VENV)pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --annotation-style=line

.PHONY: help setup run test check bench bench-full gen lock clean

help:
	@echo 'make setup       .venv with the pinned requirements, pesalango-server and its client pesalango'
	@echo 'make run         setup, then the gateway on 127.0.0.1:$(PORT) with its data in var/ (PORT=, ARGS=)'
	@echo 'make test        every test (ARGS= goes to pytest)'
	@echo 'make check       format, lint, types, import contracts, tidy rules, generated pages'
	@echo 'make bench       the benchmarks, short'
	@echo 'make bench-full  the benchmarks, with rounds enough to publish'
	@echo 'make gen         writes the generated pages of docs, and of the client what follows from the catalog'
	@echo 'make lock        writes requirements/*.txt from *.in (ARGS=--upgrade moves the pins)'
	@echo 'make clean       removes .venv and caches; the data in var/ stays'

setup: .venv/.stamp-run

# `exec`: the program itself gets the Ctrl-C of the terminal, not a shell in front of it.
run: .venv/.stamp-run
	@exec $(IN_VENV)pesalango-server up --port $(PORT) --data-dir var $(ARGS)

test: .venv/.stamp-dev
	$(IN_VENV)python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal $(ARGS)

check: .venv/.stamp-dev
	$(IN_VENV)ruff format --check .
	$(IN_VENV)ruff check .
	$(IN_VENV)mypy
	$(IN_VENV)lint-imports --no-logo
	$(IN_VENV)python -m docs.generate --check
	$(IN_VENV)python sdk/generate.py --check
	$(IN_VENV)python -m pytest --quiet tests/tidy

bench: .venv/.stamp-dev
	$(IN_VENV)python -m bench $(ARGS)

bench-full: .venv/.stamp-dev
	$(IN_VENV)python -m bench --full $(ARGS)

gen: .venv/.stamp-dev
	$(IN_VENV)python -m docs.generate
	$(IN_VENV)python sdk/generate.py

# Pins are made on the floor version, whose backports the later ones leave out by their markers;
# pins made on a later one would lack them.
lock: .venv/.stamp-dev
	@$(IN_VENV)python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo 'make lock needs a .venv made with Python 3.11: make clean, then make lock PYTHON=python3.11' >&2; \
		exit 1; }
	$(LOCK) $(ARGS) --output-file requirements/run.txt requirements/run.in
	$(LOCK) $(ARGS) --output-file requirements/dev.txt requirements/dev.in

clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -rf .import_linter_cache sdk/build sdk/dist sdk/src/*.egg-info
	find src sdk tests bench docs -type d -name __pycache__ -prune -exec rm -rf {} +

# A .venv is made anew where its pip does not answer: none there yet, one whose making was cut
# short, or one whose interpreter has gone.
.venv/.stamp-run: requirements/run.txt pyproject.toml sdk/pyproject.toml
	@$(IN_VENV)python -m pip --version >/dev/null 2>&1 || { \
		python=; lacks_venv=; wanted='$(PYTHON)'; \
		for candidate in $${wanted:-python3.11 python3 python3.12 python3.13 python3.14}; do \
			"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
			"$$candidate" -c 'import ensurepip, venv' 2>/dev/null && { python=$$candidate; break; }; \
			lacks_venv=$$candidate; \
		done; \
		if test -n "$$python"; then \
			echo "Making .venv with $$($$python --version)."; \
			"$$python" -m venv --clear .venv; \
		elif test -n "$$lacks_venv"; then \
			echo "$$lacks_venv cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; \
			exit 1; \
		else \
			echo 'Python 3.11 or later is needed and was not found. If it has another name: make setup PYTHON=/path/to/python3' >&2; \
			exit 1; \
		fi; }
	@echo 'Installing requirements/run.txt.'
	@$(PIP_INSTALL) --requirement requirements/run.txt
	@$(PIP_INSTALL) --no-index --no-deps --no-build-isolation --editable . --editable ./sdk
	@touch $@

.venv/.stamp-dev: .venv/.stamp-run requirements/dev.txt
	@echo 'Installing requirements/dev.txt.'
	@$(PIP_INSTALL) --requirement requirements/dev.txt
	@touch $@
