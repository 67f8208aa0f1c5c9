"""What a run is asked to do: records, files, overrides."""
