#!/usr/bin/env bash
# Runs the log's contract suite and one journey on the Kafka version in k8s/components/strimzi/kafka.yaml. The arguments
# are the command that runs pytest. The broker comes from Maven, as in all other tests.
set -euo pipefail
cd "$(dirname "$0")/.."

version="$(sed -n 's/^    version: \([0-9.]*\)$/\1/p' k8s/components/strimzi/kafka.yaml)"
[[ -n $version ]] || { echo "test-strimzi-kafka: k8s/components/strimzi/kafka.yaml names no version" >&2; exit 1; }

# A broker that the environment names may have another version.
unset HEADGATE_KAFKA
HEADGATE_KAFKA_VERSION=$version exec "$@" -m kafka tests/contract tests/journeys/test_fraud.py
