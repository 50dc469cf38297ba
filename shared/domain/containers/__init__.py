"""What the headers of sound files say, one module a family. Only `struct` and care."""
