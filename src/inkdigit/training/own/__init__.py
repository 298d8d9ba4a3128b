"""What users bring of their own: a network, an augmentation; plain functions both."""
