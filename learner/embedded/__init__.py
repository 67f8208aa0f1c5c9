"""The tiny model and the labelled reviews that ship with the package; see MODEL_CARD.md."""
