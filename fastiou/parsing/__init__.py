"""Text to columns, by compiled loops over its bytes. What is rare is left to Python's parsers."""
