"""Predictions of a fitted network."""
