"""What ships a model for one runtime: files in that runtime's form, and programs that run them."""
