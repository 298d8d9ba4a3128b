"""Files of other runtimes: how far their answers are from those of the model file."""
