"""One file format each: bytes on disk to images and labels."""
