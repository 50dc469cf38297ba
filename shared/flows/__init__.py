"""The order of effects; ports are arguments."""
