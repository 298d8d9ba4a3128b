"""From a trained network to files, and back."""
