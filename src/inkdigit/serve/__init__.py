"""The service: the very line of `predict` behind HTTP, for programs and for the page."""
