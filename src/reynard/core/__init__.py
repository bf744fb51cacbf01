"""Values and pure rules: no I/O, no await, no clock. Time, ids and randomness come in as arguments."""
