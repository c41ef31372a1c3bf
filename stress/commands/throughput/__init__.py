"""`mps-stress throughput`: requests per second and latencies, and which of them the noise lets one compare."""
