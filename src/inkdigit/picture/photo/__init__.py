"""What only photographs need: the paper, its lines, which ink is the digit (OpenCV, in these rooms alone)."""
