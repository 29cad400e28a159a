import pytest
import torch

from edgespiral.core.batches import Normalisation
from edgespiral.tasks.shared.drawing import COLOURS, LEAST_SIDE, colour, visible


def test_pixels_are_those_before_the_normalisation():
    how = Normalisation(mean=(0.5, 0.0, 0.25), std=(0.5, 1.0, 0.25))
    pixels = torch.tensor([0.0, 1.0, 0.5]).reshape(1, 3, 1, 1).expand(1, 3, 80, 100)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (how.mean, how.std))
    seen, factor = visible((pixels - mean) / std, how)
    assert (tuple(seen.shape), factor, seen.dtype) == ((1, 3, 160, 200), 2, torch.uint8)
    assert seen[0, :, 0, 0].tolist() == [0, 255, 128]


@pytest.mark.parametrize("side", [8, LEAST_SIDE - 1, LEAST_SIDE, 500])
def test_images_are_at_least_so_large(side):
    seen, factor = visible(torch.rand(2, 1, side, 2 * side), None)
    assert tuple(seen.shape) == (2, 3, factor * side, 2 * factor * side)
    assert min(seen.shape[2:]) >= LEAST_SIDE > (factor - 1) * side
    assert (int(seen.min()), int(seen.max())) == (0, 255)


def test_colours_come_again_and_neighbours_differ():
    assert colour(len(COLOURS)) == colour(0) != colour(1)


def test_an_image_of_one_value_is_drawn():
    seen, _ = visible(torch.full((1, 3, 8, 8), 3.0), None)
    assert not seen.any()
