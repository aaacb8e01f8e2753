"""Models behind HTTP: the running batch, the interface of OpenAI, keys, limits, metrics and the log."""
