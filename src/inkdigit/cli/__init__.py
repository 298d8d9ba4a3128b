"""The command line: one file a journey."""
