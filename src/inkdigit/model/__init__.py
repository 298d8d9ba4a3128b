"""The model file: what it says of itself, and answering with it."""
