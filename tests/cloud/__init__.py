"""All the edges with EARWITNESS_BACKEND=gcp, on Google's emulators."""
