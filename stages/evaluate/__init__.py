"""Measures base and tuned model on the same held-out data; whether that is good enough is for `promote` to say."""
