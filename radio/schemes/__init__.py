"""Values to symbols and back, and what a scheme needs and gives away."""
