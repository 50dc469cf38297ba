"""Words in time: any engine's text against the frames of a CTC model."""
