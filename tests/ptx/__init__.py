"""PTX, the code that CUDA's compiler generates, on a CPU."""
