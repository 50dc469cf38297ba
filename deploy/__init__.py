"""What is handed to the cloud, and what must be true of it before. Standard library only."""
