"""Linux hosts in network namespaces."""
