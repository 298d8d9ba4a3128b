"""From any image to 28×28: decode, clean, prepare."""
