"""English review sentences that this project writes itself: text for pretraining and a labelled task."""

from .grammar import NEGATIVE, POSITIVE, Wording, sentiment_words
from .reviews import Document, Review, held_out_reviews, pretraining_documents, to_tsv, train_reviews

__all__ = [
    "NEGATIVE",
    "POSITIVE",
    "Document",
    "Review",
    "Wording",
    "held_out_reviews",
    "pretraining_documents",
    "sentiment_words",
    "to_tsv",
    "train_reviews",
]
