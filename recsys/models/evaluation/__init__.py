"""How good the models are: against what, by which tables, and how sure that is."""
