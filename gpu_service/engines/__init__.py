"""The engines: one file a kind, one line in the registry."""
