"""Pictures of a run as SVG: the shapes, and the charts made of them."""
