"""The Grafana dashboards, as data and how it is drawn. `make dashboards` writes what is committed."""
