"""Event and tick handlers: translate, call one flow, let the edge map the error."""
