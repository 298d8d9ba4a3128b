"""The network, the changes to its images, and the loop that trains it."""
