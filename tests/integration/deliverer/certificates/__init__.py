"""Client certificates and authorities of callbacks, with real TLS servers."""
