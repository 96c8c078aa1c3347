"""`make release`: what a release is made of."""
