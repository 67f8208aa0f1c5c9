"""A measurement campaign: sounds the links of a rig, says what they are and what schemes would reach on them."""
