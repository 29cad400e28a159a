"""A campaign of seeded faults against the real product, inside a sandbox. See docs/faults.md."""
