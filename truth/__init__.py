"""The labelled set: what we know was said, what the engines heard, and how sure they were.

texts x voices x conditions -> plan -> sound -> engines -> answers -> analysis -> docs/truth.md
"""
