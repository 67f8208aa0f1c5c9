"""What `python -m benchmarks.control_plane` is made of."""
