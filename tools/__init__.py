"""What `make` needs beside the product."""
