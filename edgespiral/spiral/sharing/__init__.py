"""What runs of one teacher share."""
