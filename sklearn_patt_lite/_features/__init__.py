"""Features of frozen layers: computed once, stored, and used for training."""
