"""Measures each row; what to do about the measures is the next stage's business."""
