"""How the embedded model and its reviews were made; never imported by a run."""
