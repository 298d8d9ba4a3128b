"""Adapting a model to one writer."""
