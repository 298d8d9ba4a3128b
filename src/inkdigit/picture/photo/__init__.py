"""What only photographs need: the network that finds ink, and the geometry after it."""
