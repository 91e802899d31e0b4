"""What pages are made of: how numbers and texts are written, charts are drawn and differences marked, and the frame."""
