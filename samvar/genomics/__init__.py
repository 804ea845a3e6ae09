"""Genome, genes, variants and the windows that the model sees."""
