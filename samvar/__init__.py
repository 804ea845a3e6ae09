"""samvar: what a variant does to splicing, and which RNA-binding-protein sites it does it
through."""

__version__ = "0.1.0"
