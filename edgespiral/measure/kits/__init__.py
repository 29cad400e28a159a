"""What ships with a model for one runtime: its files in that runtime's form, and programs that run it."""
