"""Optional parts: engines of others as spotters, and hook plugins. Nothing here is needed by the core."""
