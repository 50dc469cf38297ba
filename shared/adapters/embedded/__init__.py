"""Everything on one machine: one SQLite file, plain folders, rings over loopback HTTP."""
