"""How good clusters, scores and studies are: against known families, other detectors and known truth."""
