"""Everything that needs torch: converting checkpoints into bundles. Needs the extra `train`."""
