"""Inkdigit reads handwritten digits: train a small network from raw data, and answer with one file."""

__version__ = "0.1.0"
