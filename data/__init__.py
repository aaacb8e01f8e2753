"""Where text becomes tokens: the toy world that makes it, and the preparation of any text."""
