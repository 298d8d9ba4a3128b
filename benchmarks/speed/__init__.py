"""How fast: recipes and peers side by side, answering, the training loop, int8 files; candidates for recipes."""
