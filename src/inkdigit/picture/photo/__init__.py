"""What only photographs need: the paper, its lines, which ink is the digit (only these modules import OpenCV)."""
