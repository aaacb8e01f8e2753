"""What lies on the disk: written atomically, and in the formats that other programs read."""
