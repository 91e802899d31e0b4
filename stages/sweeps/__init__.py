"""The same stages under many settings, and what that shows."""
