"""What privacy may cost and what was spent: the ledger and the accountants."""
