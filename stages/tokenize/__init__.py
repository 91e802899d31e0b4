"""Turns conversations into token ids and loss masks that are proven, and refuses what cannot be proven."""
