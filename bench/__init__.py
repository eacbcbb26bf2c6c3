"""How fast fastiou is, next to its peers and to what the hardware allows."""
