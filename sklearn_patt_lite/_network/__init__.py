"""The network, and all that knows its layers by name."""
