"""The long-term form of originals: FLAC that gives the upload back byte for byte."""
