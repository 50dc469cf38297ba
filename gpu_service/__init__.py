"""The service that hears: takes tickets, decodes, runs engines. Internal, knows no API keys."""
