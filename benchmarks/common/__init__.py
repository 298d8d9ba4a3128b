"""What several measurements share: machine, tables, pages, results."""
