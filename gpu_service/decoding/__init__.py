"""Hostile ground: bytes become samples in a child process that can do nothing else."""
