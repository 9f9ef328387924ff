# Every target sets up what it needs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
# Python keeps the bytecode of what it imports. The tests start hundreds of processes, and without it each of them would
# compile its packages again.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/python scripts/uv.py
READY := $(VENV)/.ready
TRITONCLIENT := .venv-tritonclient/.ready
PEERS := .venv-peers/.ready
MLSERVER := .venv-mlserver/.ready
TRITON := .venv-triton/.ready
KSERVE := .venv-kserve/.ready
MODEL_SIGNING := .venv-model-signing/.ready

# The programs that the tests need beside Python, as pairs of command:package.
TEST_TOOLS := java:default-jre-headless mvn:maven redis-server:redis-server prometheus:prometheus promtool:prometheus
# The most seconds for one test, with its fixtures.
TEST_TIMEOUT := 120
# Test files run in parallel, each one on one worker. There is one worker for each core, with its own servers. Three
# were tried on two cores: 752 s in place of 767 s. The cores were busy for 92 % of the time, and each did less.
WORKERS := --numprocesses=auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder
# Profiles of docker-compose.yml beside the core.
PROFILES :=
# Passed on to pytest, e.g. make test ARGS="tests/log -x".
ARGS :=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: setup
setup: $(READY) ## Make .venv from the hash-locked requirements; does nothing when it is up to date

$(READY): requirements/uv.txt requirements/dev.txt pyproject.toml scripts/setup.sh scripts/bubblewrap.sh scripts/uv.py libs/headgate/runtime/uv_settings.py
	@scripts/setup.sh $(VENV)
	@touch $@

.PHONY: demo
demo: setup ## Show a model's way from a commit to live traffic and back, on this machine
	@$(BIN)/python examples/demo.py

.PHONY: up
up: ## Start Headgate in containers (PROFILES=observability adds Prometheus and Grafana)
	@scripts/compose.sh up $(PROFILES)

.PHONY: down
down: ## Stop what `make up` started; keeps the volumes
	@scripts/compose.sh down

.PHONY: kafka
kafka: setup test-setup ## Start a Kafka broker on this machine, as the tests do
	@$(BIN)/python -m tests.kafka_broker

.PHONY: test
test: setup test-setup ## Run every test (ARGS="tests/log -x" for some of them)
	@$(BIN)/python -m pytest --timeout=$(TEST_TIMEOUT) $(WORKERS) $(ARGS)

.PHONY: test-strimzi-kafka
test-strimzi-kafka: setup test-setup ## Run the log's contract tests and a journey on the Kafka version of Strimzi
	@scripts/test_strimzi_kafka.sh $(BIN)/python -m pytest --timeout=$(TEST_TIMEOUT) $(ARGS)

.PHONY: test-setup
test-setup: setup $(TRITONCLIENT) ## Install what the tests need beside Python: Java, Maven, a tritonclient environment
	@scripts/test_tools.sh $(TEST_TOOLS)

.PHONY: check
check: setup ## Lint, types, import contracts, protos, generated code, dashboards, house rules
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml libs services
	@$(BIN)/python scripts/audit.py
	@scripts/protos.sh check
	@$(BIN)/python -m k8s.monitoring.dashboards check
	@$(BIN)/python -m pytest -q tests/house

.PHONY: protos
protos: setup ## Generate libs/headgate/{v1,inference} from protos/; refuses a breaking change
	@scripts/protos.sh generate

.PHONY: baseline
baseline: setup ## Accept a breaking change of the protos (see CONTRIBUTING.md)
	@scripts/protos.sh baseline

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards and the PrometheusRule from their sources
	@$(BIN)/python -m k8s.monitoring.dashboards

.PHONY: bench
bench: setup $(PEERS) $(MLSERVER) $(TRITON) ## Measure Headgate and its peers; prints JSON
	@$(BIN)/python -m tests.bench $(ARGS)

$(TRITONCLIENT) $(PEERS) $(MLSERVER) $(TRITON) $(KSERVE) $(MODEL_SIGNING): .venv-%/.ready: requirements/%.txt | $(READY)
	@$(UV) venv --quiet --allow-existing --python $(BIN)/python $(@D)
	@$(UV) pip install --quiet --python $(@D)/bin/python --require-hashes --only-binary :all: -r $<
	@touch $@

.PHONY: test-clients
test-clients: setup $(KSERVE) $(MLSERVER) ## Call the gateway with unmodified clients of KServe and MLServer
	@$(BIN)/python -m pytest --timeout=$(TEST_TIMEOUT) -n0 -q tests/gateway/clients/other_clients.py $(ARGS)

.PHONY: test-signing
test-signing: setup $(MODEL_SIGNING) ## Verify a downloaded version with model-signing, and altered ones
	@$(BIN)/python -m pytest --timeout=$(TEST_TIMEOUT) -n0 -q tests/artifacts/other_verifier.py $(ARGS)

.PHONY: fuzz
fuzz: setup ## Send mutated requests to the gateway's two servers (ARGS="--seconds 600 --seed 7")
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: images
images: ## Build the services' container images (ARGS="registry gateway" for some of them)
	@scripts/images.sh $(ARGS)

.PHONY: test-images
test-images: setup ## Build and run images on Debian's packages alone: root on Debian 12 (ARGS="registry trainer")
	@scripts/test_tools.sh dockerd:docker.io mmdebstrap:mmdebstrap
	@$(BIN)/python -m tests.deploy.image_check $(ARGS)

.PHONY: k8s-validate
k8s-validate: setup ## Build and check every overlay of k8s/ offline: schemas, policies, settings
	@$(BIN)/python -m tests.deploy.k8s_validate

.PHONY: lock
lock: $(READY) ## Resolve the lock files again (ARGS=--upgrade for newer versions)
	@scripts/lock.sh $(ARGS)

.PHONY: clean
clean: ## Remove caches, builds and the demo's data; keeps the environments and .headgate
	@rm -rf .cache/mypy .cache/pytest .cache/import_linter .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find libs services tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Like clean; also removes the Python environments and the downloaded broker
	@rm -rf .cache .venv .venv-tritonclient .venv-peers .venv-mlserver .venv-kserve .venv-triton
