"""What a learner host does: its model and data, its share of a round, its radios."""
