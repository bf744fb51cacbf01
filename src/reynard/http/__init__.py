"""The HTTP edge: routes that only translate. Rules live in core, use cases in engine, failures in `errors`."""
