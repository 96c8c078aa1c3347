"""`/api/extra/v1`: what a consumer sees of its own abonnementen."""
