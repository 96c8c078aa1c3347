"""What is in tools/, and what `make` does by it."""
