"""HTTP itself: connections, limits, bodies, headers, answers."""
