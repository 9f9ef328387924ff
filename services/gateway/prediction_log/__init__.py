"""The sample of predictions that a gateway writes to headgate.predictions."""
