"""Vendor words and vendor errors stop here."""
