"""Inside the sandboxes: what runs in, or for, a host's processing and reporting of each analysis."""
