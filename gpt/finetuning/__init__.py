"""Fine-tuning on labelled text: data, splits, optimizers, adapters, predictions, reports and plots."""
