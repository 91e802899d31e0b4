"""Sets aside rows that contain evaluation items."""
