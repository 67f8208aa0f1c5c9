"""What captures of a known probe say about a channel: pure functions of samples, each with its uncertainty."""
