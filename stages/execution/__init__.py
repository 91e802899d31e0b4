"""One stage run and checked, and the runs of a whole pipeline."""
