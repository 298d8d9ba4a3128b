"""Whole numbers: labelled sets, and what other programs read in them."""
