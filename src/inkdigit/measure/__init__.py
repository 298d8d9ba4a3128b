"""Numbers about models, runs and data; no pages."""
