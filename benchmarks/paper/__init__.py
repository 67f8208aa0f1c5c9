"""The tables and figures of the pAirZero paper (arXiv 2604.12401), one command each; docs/reproduction.md."""
