"""The metrics of devices, and of the gateways that they follow. They are a part of the catalogue."""

from headgate.runtime.observability.metric import GATEWAY, Metric

EDGE = (
    Metric("headgate_edge_devices", "gauge", (GATEWAY,), "Devices that follow this gateway."),
    Metric(
        "headgate_edge_devices_refusing",
        "gauge",
        (GATEWAY,),
        "Devices whose last report to this gateway names a version that they refuse.",
    ),
    Metric(
        "headgate_edge_link_up", "gauge", (GATEWAY,), "On a device: 1 while a gateway answers it; absent elsewhere."
    ),
    Metric(
        "headgate_edge_totals_unreported",
        "gauge",
        (GATEWAY,),
        "On a device: totals that no gateway has taken yet; absent elsewhere.",
    ),
    Metric(
        "headgate_edge_totals_dropped_total",
        "counter",
        (GATEWAY,),
        "On a device: totals that were dropped before a gateway took them, because too many waited.",
    ),
    Metric(
        "headgate_edge_totals_total",
        "counter",
        (GATEWAY,),
        "Totals that devices reported: taken, not-needed, try-later or refused.",
        ("outcome",),
        cap=5,
    ),
)
