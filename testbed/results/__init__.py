"""The run directory: records, journal, recordings, plots, report."""
