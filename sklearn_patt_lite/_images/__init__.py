"""Checking, decoding and resizing of users' images."""
