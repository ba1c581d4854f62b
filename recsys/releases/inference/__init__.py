"""What noisy counts let believe: posteriors, hierarchy, neighbours, significance, trend baselines."""
