"""The shipped testing kit: a simulated upstream, conformance suites, a fake clock."""
