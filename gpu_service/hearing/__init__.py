"""From samples to segments: quality, voice activity, cutting."""
