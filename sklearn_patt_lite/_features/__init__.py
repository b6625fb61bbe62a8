"""Features of frozen layers: computed once, kept, and trained on."""
