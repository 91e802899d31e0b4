"""Decides on each row by its signals alone."""
