"""Statistical inference from noisy counts: posteriors, hierarchy, neighbours, significance, trend baselines."""
