"""What a model does inside: attention, the logit lens, reasons, sizes, and their pictures."""
