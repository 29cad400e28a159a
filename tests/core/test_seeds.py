from itertools import product

from edgespiral.core.seeds import derived_seed


def test_neighbouring_paths_give_different_seeds_that_repeat():
    paths = list(product(range(20), range(20), range(3)))
    seeds = [derived_seed(*path) for path in paths]
    assert len(set(seeds)) == len(paths)
    assert seeds == [derived_seed(*path) for path in paths]
    assert all(0 <= seed < 2**32 for seed in seeds)
