"""Translation by an encoder that runs once and a decoder that runs for each word.

Sentences are decoded greedily: the likeliest word is taken and given to the next step.
"""

from edgespiral.tasks.translation.task import Translation

PLUGIN = Translation()

__all__ = ["PLUGIN", "Translation"]
