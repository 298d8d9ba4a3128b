"""The claims of five well-known notebooks, and the bigger families."""
