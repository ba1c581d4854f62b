"""Whether a release is what it claims to be: the audit before, the verification after."""
