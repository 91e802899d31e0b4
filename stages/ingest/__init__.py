"""Files from outside, in any dialect, to conversations; what cannot be used is set aside with the reason."""
