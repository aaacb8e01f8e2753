"""A GPT to learn from: each module is one idea, read top to bottom. Start with model.py."""
