"""Training: a fit's data, its stages, and the loop that runs them."""
