"""SimpleX on top of the fused step: torch computes its user vectors from table rows, which kernels read and train."""
