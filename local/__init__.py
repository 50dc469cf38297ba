"""One machine: supervises the three processes, rings between them, watches the inbox, the CLI."""
