"""Decides whether a registered version may serve, and says so where servers look: in the aliases of the registry."""
