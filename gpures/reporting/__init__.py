"""What a person is told: progress, where the time goes, tables."""
