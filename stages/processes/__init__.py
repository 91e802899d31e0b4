"""Work spread over processes or a cluster, and what it takes and tells meanwhile."""
