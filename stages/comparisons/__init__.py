"""Answers about data that runs have made: two snapshots side by side, other thresholds."""
