"""Files on the disk: written atomically, in formats that other programs can read."""
