"""The version, which the package's metadata have from here."""

__version__ = "0.1.0"
