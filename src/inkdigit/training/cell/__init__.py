"""The cell network: what one cell of a table holds, seen as a photo shows it."""
