"""What runs before and after a network for each frame: decoding, pre- and post-processing."""
