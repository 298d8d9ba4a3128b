"""How good the recipes and ensembles are on MNIST's test split, seed by seed."""
