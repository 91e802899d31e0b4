"""Results on disk: their keys, tables in one canonical form, refs, locks."""
