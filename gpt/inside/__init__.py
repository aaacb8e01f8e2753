"""Look inside a model: attention, the logit lens, attributions, sizes, and their plots."""
