"""A model that learns to read one more hand."""
