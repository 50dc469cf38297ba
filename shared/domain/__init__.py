"""The rules, pure: time and randomness are arguments."""
