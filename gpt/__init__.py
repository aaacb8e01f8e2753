"""The GPT itself: ten plain files to read top to bottom. Everything around it stands in the folders."""
