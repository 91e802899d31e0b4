"""Chooses how much of each source is trained on, and divides train, validation and test."""
