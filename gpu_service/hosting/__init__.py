"""The life of an engine: its process, its memory, its loading, and who wants it where."""
