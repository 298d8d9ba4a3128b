"""What is printed on a page: the grids of tables and sudokus."""
