"""Results of a workspace: tables with intervals and tests, plots, and one HTML page."""
