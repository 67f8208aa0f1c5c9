"""From estimates to what each direction is multiplied with."""
