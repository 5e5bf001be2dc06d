"""What the CUDA backend is made of; nothing here imports cupy before it is asked for."""
