"""The report of a dataset as one HTML page: what was dropped and why, thresholds, and lines for speakers to judge."""
