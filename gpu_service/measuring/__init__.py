"""What the service tells Prometheus; `docs/metrics.md` is the table of all names."""
