"""What the machine has: threads, memory, and threads that read beside the work."""
