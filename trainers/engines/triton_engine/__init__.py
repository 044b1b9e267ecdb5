"""The CUDA engine in Triton. Import only what you need: `limits` imports neither Triton nor CUDA."""
