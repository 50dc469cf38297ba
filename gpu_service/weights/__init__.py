"""The files of models: where they come from, proof of what they are, and how they get in."""
