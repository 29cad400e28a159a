"""Object detection: class logits and boxes for each anchor, average precision.

The network that makes these is what is trained, cut, exported and timed. Boxes are decoded, and
those that overlap a better one suppressed, outside of it, by torchvision.
"""

from edgespiral.tasks.detection.task import Detection

PLUGIN = Detection()

__all__ = ["PLUGIN", "Detection"]
