# Every target makes its own way from a fresh clone: git, make and Python 3.11 are enough.
PYTHON ?= python3
BIN := .venv/bin
unexport PYTHONDONTWRITEBYTECODE  # many processes run the same modules: each would compile them again

.PHONY: help reproduce test lint lab docs readme lock clean
help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 24

reproduce: .venv/ready ## measure, run the notebooks, write results/ (ARGS=--quick)
	@$(BIN)/workbench reproduce $(ARGS)

test: .venv/ready ## run the test suite (ARGS="-k store")
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile $(ARGS)

lint: .venv/ready ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lab: .venv/ready ## open the notebooks in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=notebooks

docs: .venv/docs ## build the documentation: site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

readme: .venv/ready ## write the generated parts of README.md from the records
	@$(BIN)/python .ci/readme.py

lock: ## pin what a fresh installation resolves to today
	@rm -rf .venv && $(PYTHON) -m venv .venv && $(BIN)/pip install -q -e '.[dev,export,docs,gs]'
	@$(BIN)/python .ci/lock.py > constraints.txt && touch .venv/ready

clean: ## remove the environment and everything generated; records stay
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .coverage *.egg-info results/tables results/figures results/report site

.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d; say make PYTHON=python3.11" % v[:2])'
	@echo "installing into .venv; the first time this takes some minutes"
	@$(PYTHON) -m venv .venv && $(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]' && touch $@

.venv/docs: .venv/ready
	@$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[docs]' && touch $@
