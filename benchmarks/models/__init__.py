"""The bundled models: how they are made, and what answering with them costs."""
