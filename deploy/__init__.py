"""What is handed to the cloud, and what must be true of it before and after.

`archive`, `entry_points` and `terraform` need the standard library only: they run before there is
an environment.
"""
