"""Others' gateways, measured beside Reynard in the same run. Each module has a `start` of type `bench.subject.Start`."""
