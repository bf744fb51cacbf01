"""Others' gateways, measured beside Reynard. Each module has a `start` of type `bench.subject.Start`."""
