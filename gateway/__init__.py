"""The public door: recordings, uploads, search, dead letters, and the page."""
