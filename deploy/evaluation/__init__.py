"""How good a generator is: scores, baselines, reports."""
