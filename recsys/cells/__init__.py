"""COARSE: per listener and cell; never leaves the nightly job's private store."""
