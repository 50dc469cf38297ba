"""What confidence is fitted with: labelled examples in, a file and its worth out.

Only `earwitness calibrate` and the labelled set of the project come here; nothing that hears.
"""
