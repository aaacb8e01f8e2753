"""From text to tokens: prepare.py. What it writes lands in folders beside it, which git ignores."""
