import torch

from edgespiral import data


def everything(source):
    batches = list(source.epoch(batch_size=500))
    return torch.cat([inputs for inputs, _ in batches]), torch.cat([y for _, y in batches])


def test_three_disjoint_stratified_parts():
    splits = data.load("digits")
    parts = [everything(s) for s in (splits.train, splits.validation, splits.test)]
    assert [len(labels) for _, labels in parts] == [1167, 270, 360]
    images = [tuple(i.flatten().tolist()) for inputs, _ in parts for i in inputs]
    assert len(set(images)) == 1797
    for _, labels in parts:
        counts = torch.bincount(labels, minlength=10).float()
        assert counts.min() / counts.max() > 0.9


def test_shape_and_names():
    splits = data.load("digits")
    inputs, _ = next(splits.train.epoch(batch_size=4, seed=0))
    assert splits.input_shape == (1, 8, 8) == tuple(inputs.shape[1:])
    assert splits.class_names == tuple("0123456789")


def test_two_loads_are_the_same():
    first, second = (everything(data.load("digits").validation) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
