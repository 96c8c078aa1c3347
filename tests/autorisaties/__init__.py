"""An Autorisaties API for tests."""
