"""Drawn faces: subjects, their geometry, and the database made of them."""
