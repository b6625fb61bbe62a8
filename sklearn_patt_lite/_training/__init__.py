"""Training: what a fit trains on, its stages, and the loop that runs them."""
