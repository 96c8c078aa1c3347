"""The whole product from one store to another."""
