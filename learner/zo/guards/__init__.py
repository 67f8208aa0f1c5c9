"""What makes sure that no weight is read or written behind the back of a probe."""
