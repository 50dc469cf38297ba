"""What every edge rests on: the domain, the ports, the flows, the adapters."""
