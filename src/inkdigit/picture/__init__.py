"""From any picture to 28×28: decode, clean, prepare."""
