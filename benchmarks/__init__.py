"""Measurements of Inkdigit and the pages that they write: see README.md."""
