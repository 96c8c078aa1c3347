"""Programs of two versions on one store."""
