"""A twin's Windows host: firewall, registry, services, tasks, files, clock. Pure Python, no network."""
