"""Bad input, kills, full disks, two commands at once."""
