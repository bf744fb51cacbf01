"""Providers' wire protocols, as the checking upstream speaks them: one module each, pure."""
