"""What a libiio client can ask of a virtual Pluto."""
