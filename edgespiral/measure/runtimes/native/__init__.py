"""Programs of the user's, driven by a shell script on devices that have no Python."""
