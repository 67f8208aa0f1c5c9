"""Every baseline under one roof: the same tasks, partitions, seeds and batches, costs counted alike."""
