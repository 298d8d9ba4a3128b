"""The line reader: trained on numbers that are composed while it learns, exported as a model file."""
