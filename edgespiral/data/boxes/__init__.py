"""Pictures with boxes around the objects in them, whatever format their annotations have."""
