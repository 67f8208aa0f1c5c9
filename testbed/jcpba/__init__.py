"""Joint client-specific pruning and bandwidth allocation: a first-order rival of pAirZero on the same links."""
