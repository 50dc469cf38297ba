"""Our figures beside those of named peers. `make bench`, or `python -m bench NAME ...`."""
