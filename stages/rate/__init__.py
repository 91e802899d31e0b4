"""Asks models about each row: how well the base predicts its answer, and what a judge thinks of it."""
