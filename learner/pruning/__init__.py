"""First-order fine-tuning of pruned models: which weights a client keeps, its steps, and what comes of them."""
