"""What the exporters of all models share."""
