"""The results of a workspace: tables with confidence intervals and tests, plots, and an HTML page."""
