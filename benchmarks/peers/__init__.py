"""One script a peer; run by path, by the peers' own interpreter."""
