# artifactapi: `make run` serves, `make test` proves; both install what they need into .venv.
# Settings such as PORT and DATA_DIR come from the environment or from the command line: make run PORT=8081

PYTHON ?=
ARGS ?=
PIP := .venv/bin/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint bench bench-quick soak clean

help: ## List every target
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	    printf '%-18s %s\n' "$$name" "$$text"; done

run: .venv/run.stamp ## Serve on http://127.0.0.1:8080 until Ctrl-C
	@exec .venv/bin/python -m app.cli run

# Most of the suite waits for servers and clocks, so three processes keep two cores busy; tests/parallel.py says
# what they share out. What ARGS names runs in one process, unless it says -n itself.
test: .venv/test.stamp ## Run every test, or those that ARGS names: make test ARGS='tests/formats -x'
	@exec .venv/bin/python -m pytest $(or $(ARGS),-n 3)

lint: .venv/test.stamp ## Check style, format and types
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

bench: .venv/test.stamp ## Measure this and its peers side by side, print tables: make bench ARGS='--only peers'
	@exec .venv/bin/python -m bench $(ARGS)

bench-quick: .venv/test.stamp ## A part of it in two minutes; fails where a ratio is 15 % worse than the committed one
	@exec .venv/bin/python -m bench.quick

soak: .venv/test.stamp ## Load a fleet while all it depends on fails: make soak DURATION=600 SEED=1
	@exec .venv/bin/python -m soak

clean: ## Remove .venv and everything that tools left here; data stays
	rm -rf .venv build artifactapi.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage
	find app tests bench soak -type d -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

.venv/run.stamp: .venv/made.stamp setup.cfg pyproject.toml
	@echo "installing artifactapi into .venv (once)"
	@$(PIP) --editable '.[embedded]'
	@touch $@

.venv/test.stamp: .venv/made.stamp setup.cfg pyproject.toml
	@echo "installing artifactapi and its tools into .venv (once)"
	@$(PIP) --editable '.[embedded,test,dev]'
	@touch $@

# The newest Python that is new enough, and one line of advice where there is none.
.venv/made.stamp:
	@set -- python3.13 python3.12 python3.11 python3 python; \
	if [ -n "$(PYTHON)" ]; then set -- "$(PYTHON)"; fi; \
	for each in "$$@"; do \
	    "$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	    "$$each" -c 'import ensurepip, venv' >/dev/null 2>&1 && "$$each" -m venv .venv && exec touch $@; \
	    echo "$$each cannot make a virtual environment: apt install python3-venv (Debian, Ubuntu)," \
	        "dnf install python3 (Fedora), apk add python3 (Alpine)" >&2; exit 1; \
	done; \
	echo "$(if $(PYTHON),PYTHON=$(PYTHON) is not Python 3.11 or newer: )Python >= 3.11 is needed:" \
	    "apt install python3 python3-venv (Debian, Ubuntu), dnf install python3 (Fedora)," \
	    "apk add python3 (Alpine), or name one with PYTHON=" >&2; exit 1
