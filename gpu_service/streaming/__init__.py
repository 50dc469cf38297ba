"""Live sound: chunks in, hypotheses out, and a way back in after the line broke."""
