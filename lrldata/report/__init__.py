"""The report of a dataset as one HTML page: what went and why, thresholds, and lines for speakers to judge."""
