"""Labels and tasks: reading, splits, what is trained, adapters, predictions, reports, pictures."""
