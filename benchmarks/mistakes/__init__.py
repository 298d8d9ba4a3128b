"""What the networks still read wrongly, and whose fault it is."""
