"""The use cases, over ports: submit, attempt, work, subscribe, cancel, recover."""
