"""The network, and all code that refers to its layers by name."""
