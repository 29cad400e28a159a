"""The latency gate: suites of models judged against budgets and against their former selves."""
