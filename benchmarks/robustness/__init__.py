"""Photos, other handwriting, corruptions, what is not a digit; the gallery; adapting."""
