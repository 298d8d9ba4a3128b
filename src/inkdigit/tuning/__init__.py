"""Many trainings: the search for better recipes."""
