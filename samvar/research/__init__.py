"""The tools of a splicing researcher on the bottleneck: junctions, sequences, global importance."""
