"""The pages of the documentation that are made from the code: a file for each kind."""
