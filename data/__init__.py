"""prepare.py turns text into tokens. It writes into folders beside it, which git ignores."""
