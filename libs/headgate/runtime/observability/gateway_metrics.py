"""The metrics of a gateway. The catalogue has them with those of the other services."""

from headgate.runtime.observability.metric import GATEWAY, Metric

PREDICTION_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""The SLOs 0.01, 0.025, 0.05, 0.1 and 0.25 s are edges, so the share of answers within each SLO is exact."""
BATCH_REQUESTS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
LOAD_SECONDS = (0.01, 0.05, 0.25, 1.0, 5.0, 30.0, 120.0)

OF_GATEWAY = (
    Metric(
        "headgate_gateway_info", "gauge", (GATEWAY,), "Always 1; the environment it serves.", ("environment",), cap=2
    ),
    Metric(
        "headgate_predictions_total",
        "counter",
        (GATEWAY,),
        "Predictions: ok, bad, refused or error.",
        ("model", "arm", "outcome"),
        cap=676,  # what the other metrics of a gateway leave of MAX_SERIES
    ),
    Metric(
        "headgate_prediction_duration_seconds",
        "histogram",
        (GATEWAY,),
        "Time to answer a prediction.",
        ("model", "arm"),
        cap=40,
        buckets=PREDICTION_SECONDS,
    ),
    Metric(
        "headgate_predictions_not_run_total",
        "counter",
        (GATEWAY,),
        "Requests that had to wait and did not run: queue-full, deadline, cancelled or not-loaded.",
        ("model", "reason"),
        cap=72,
    ),
    Metric(
        "headgate_prediction_batch_requests",
        "histogram",
        (GATEWAY,),
        "Requests that ran together as one forward; one that ran alone is not counted.",
        buckets=BATCH_REQUESTS,
    ),
    Metric(
        "headgate_predictions_waiting",
        "gauge",
        (GATEWAY,),
        "Requests that wait for a slow version; absent when none waits.",
        ("model",),
        cap=15,
    ),
    Metric(
        "headgate_predictions_waiting_for_loads",
        "gauge",
        (GATEWAY,),
        "Requests that wait until their version is loaded.",
    ),
    Metric(
        "headgate_prediction_log_written_total",
        "counter",
        (GATEWAY,),
        "Sampled predictions written to the prediction log.",
    ),
    Metric(
        "headgate_prediction_log_dropped_total",
        "counter",
        (GATEWAY,),
        "Sampled predictions that were not written: queue-full, rate, log, size or error.",
        ("reason",),
        cap=8,
    ),
    Metric("headgate_versions_loaded", "gauge", (GATEWAY,), "Versions ready to predict."),
    Metric(
        "headgate_versions_asleep",
        "gauge",
        (GATEWAY,),
        "Versions that the next request loads, because the memory for versions is full.",
    ),
    Metric(
        "headgate_version_memory_bytes",
        "gauge",
        (GATEWAY,),
        "Memory that loaded versions hold, by the size of their files.",
    ),
    Metric("headgate_version_memory_limit_bytes", "gauge", (GATEWAY,), "Memory that loaded versions may hold."),
    Metric(
        "headgate_version_evictions_total",
        "counter",
        (GATEWAY,),
        "Versions that gave way to others for want of memory.",
    ),
    Metric(
        "headgate_version_load_duration_seconds",
        "histogram",
        (GATEWAY,),
        "Time to load a version: read, verify, try and warm it up.",
        buckets=LOAD_SECONDS,
    ),
    Metric("headgate_version_load_failures_total", "counter", (GATEWAY,), "Versions that could not be loaded."),
    Metric(
        "headgate_stable_only",
        "gauge",
        (GATEWAY,),
        "1 while the candidate gets no traffic because the log does not answer.",
        ("model",),
        cap=40,
    ),
    Metric("headgate_log_heard_seconds", "gauge", (GATEWAY,), "Time since the last answer of the log."),
)
