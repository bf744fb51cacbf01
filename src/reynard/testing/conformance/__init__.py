"""One suite a port: subclass it with a fixture, and every promise of the port is checked on your back-end."""
