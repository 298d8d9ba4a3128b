"""From a recipe to a model file: the only wing that knows torch."""
