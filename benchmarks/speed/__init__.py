"""The time and memory that reading, scoring, fitting and pages take, by the size of the corpus."""
