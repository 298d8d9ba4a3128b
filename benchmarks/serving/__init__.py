"""The service under load, and under malformed requests."""
