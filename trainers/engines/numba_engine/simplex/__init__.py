"""SimpleX on top of the fused step: its users are made of rows by torch, and the rows read and trained by kernels."""
