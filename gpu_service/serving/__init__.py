"""Many callers, one engine: batches, what becomes of those that fail, and when it is left alone."""
