"""Hand a model over to other programs, in their formats. The libraries are in requirements/export.txt."""
