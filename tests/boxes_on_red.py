"""Pictures in which an object is red, so that its box can be compared with what is shown."""

import numpy as np

from edgespiral.core.batches import DataSplits


def assert_on_red(found: DataSplits, sample: int) -> None:
    """Of pictures of 40 x 20 shown at 80 x 40: the first box of a test sample, and the frame."""
    inputs, targets = next(iter(found.test.epoch(batch_size=3)))
    _, *corners = targets[sample, 0].tolist()
    assert corners == [8, 10, 28, 30]
    rows, columns = np.nonzero(inputs[sample, 0].numpy() > 0)
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == corners
    assert found.frames is not None
    assert found.frames.decoded().shape == (20, 40, 3)
