"""Data, prompts, batches: what is learnt."""
