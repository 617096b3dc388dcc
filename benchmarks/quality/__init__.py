"""The quality of clusters, scores and studies, compared with known families, other detectors and known relations."""
