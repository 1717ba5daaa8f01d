"""Teams' own packages, published and installed with each ecosystem's real clients."""
