"""What is shown beyond the rounds' records alone: privacy, errors explained, captures with their parts, tables."""
