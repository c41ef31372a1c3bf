"""Inside a child process: the task, the workload, the crew, the oracle, the perturbation."""
