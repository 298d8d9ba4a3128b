"""Scenes: drawn pictures of writing on paper with the truth of every pixel. The ink network learns from them."""
