"""The lessons: one source for two languages (source/), what makes notebooks of it (build.py), and checks (check/)."""
