"""The jobs of the nightly operator: the only place that knows the order of the zones."""
