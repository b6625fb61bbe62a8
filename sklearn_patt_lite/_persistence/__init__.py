"""Fitted classifiers in files: for this library, and for other runtimes."""
