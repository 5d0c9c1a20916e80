"""The shell around the pure core: threads, waves, connections, and the order of journal and deed."""
