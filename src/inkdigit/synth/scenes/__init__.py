"""Scenes: drawn pictures of writing on paper, where the truth of every pixel is known. The ink network learns from them."""
