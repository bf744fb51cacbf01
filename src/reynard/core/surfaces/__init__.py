"""APIs of others that this gateway serves."""
