"""Models and what they read: chat templates, tokenizers, weights, adapters, losses."""
