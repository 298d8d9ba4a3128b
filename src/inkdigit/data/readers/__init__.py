"""One file format each: bytes on disk to pictures and labels."""
