"""Pictures that need more than the rounds' records: privacy, errors explained, captures with their parts."""
