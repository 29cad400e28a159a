"""What a frame takes before and after the network, measured where that runs."""
