"""The cloud's topology on one machine: Google's emulators, and what stands in for the platform."""
