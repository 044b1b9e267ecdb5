"""The CUDA engine in Triton. Nothing of it is imported before it is asked for; `limits` needs neither Triton nor CUDA."""
