"""Could a detector have seen its test? Groups, files and near-duplicates across splits, bank against test."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterfeit.data.copies import Search, find_copies
from counterfeit.evaluation.findings import Audit, AuditedSeed, Finding, Word, proportion, range_in_words

SAMPLE = 60  # test images of a seed that are looked for among those of training and validation, and in the bank
EXAMINED = 60  # pairs that are registered, a few milliseconds each
NAMED = 5


def audit_leakage(seeds: Sequence[AuditedSeed]) -> Audit:
    """Look for test images, or copies of them, on the training side.

    *Exact*: files and groups in two splits, hosts and donors outside of training. *Near*: a sample of the test images
    is searched among the training and validation images and in the bank by registration (:func:`find_copies`).
    """
    near = [_search(seed, np.flatnonzero(np.isin(seed.split, ("train", "validation")))) for seed in seeds]
    findings = [
        _exact("groups in two splits", [_straddling(seed.group, seed.split) for seed in seeds], seeds, "groups"),
        _exact(
            "identical files in two splits", [_straddling(seed.sha256, seed.split) for seed in seeds], seeds, "files"
        ),
        _near("near-duplicates in training and validation", near, seeds, "training and validation images"),
    ]
    named = [pair for seed, found in zip(seeds, near, strict=True) for pair in _names(seed, *found, seed.path)]
    with_bank = [seed for seed in seeds if seed.bank is not None]
    if with_bank:
        bank = [_search_bank(seed) for seed in with_bank]
        outside = [_outside(seed) for seed in with_bank]
        findings.insert(2, _exact("synthetic images from outside of training", outside, seeds, "images"))
        findings.append(_near("near-duplicates in the bank", bank, with_bank, "synthetic images"))
        for seed, found in zip(with_bank, bank, strict=True):
            assert seed.bank is not None
            named += _names(seed, *found, seed.bank.path)
    return Audit("leakage", "Could the detector have seen its test images?", findings, named[:NAMED])


def _straddling(name: NDArray[np.str_], split: NDArray[np.str_]) -> tuple[int, int]:
    """Names that occur in more than one of training, validation and test, and the number of all names."""
    used = split != "unused"
    pairs = np.unique(np.stack([name[used], split[used]]), axis=1)
    names, splits = np.unique(pairs[0], return_counts=True)
    return int((splits > 1).sum()), len(names)


def _outside(seed: AuditedSeed) -> tuple[int, int]:
    assert seed.bank is not None
    training = seed.path[seed.split == "train"]
    inside = np.isin(seed.bank.host, training) & np.isin(seed.bank.donor, training)
    return int((~inside).sum()), len(inside)


_Found = tuple[NDArray[np.intp], NDArray[np.intp], Search]


def _search(seed: AuditedSeed, among: NDArray[np.intp]) -> _Found:
    sample = _sample(seed)
    found = find_copies(seed.pixels[sample], seed.pixels[among], EXAMINED, seed.number)
    return sample, among, found


def _search_bank(seed: AuditedSeed) -> _Found:
    assert seed.bank is not None
    sample = _sample(seed)
    found = find_copies(seed.pixels[sample], seed.bank.pixels, EXAMINED, seed.number)
    return sample, np.arange(len(seed.bank.path)), found


def _sample(seed: AuditedSeed) -> NDArray[np.intp]:
    test = seed.rows("test")
    generator = np.random.default_rng([seed.number, 21])
    return np.sort(generator.choice(test, min(SAMPLE, len(test)), replace=False))


def _names(
    seed: AuditedSeed, sample: NDArray[np.intp], among: NDArray[np.intp], found: Search, path: NDArray[np.str_]
) -> list[tuple[str, str]]:
    return [
        (str(seed.path[sample[copy.query]]), f"{path[among[copy.reference]]} (agreement {copy.agreement:.2f})")
        for copy in found.copies
    ]


def _exact(name: str, counts: list[tuple[int, int]], seeds: Sequence[AuditedSeed], what: str) -> Finding:
    hits, count = max(counts)  # the worst seed: the seeds share their images and must not be added up
    word: Word = "bad" if hits else "ok"
    words = f"{hits} of {count} {what}: the test is not independent; repair the splits." if hits else "None."
    n = f"all {range_in_words([c for _, c in counts])} {what} of each of {len(seeds)} seeds" if len(seeds) > 1 else ""
    return Finding(name, "share", *proportion(hits, count), 0.0, "none", n or f"all {count} {what}", word, words)


def _near(name: str, found: list[_Found], seeds: Sequence[AuditedSeed], among: str) -> Finding:
    hit, looked = set[str](), set[str]()
    for seed, (sample, _, search) in zip(seeds, found, strict=True):
        looked |= set(seed.path[sample].tolist())
        hit |= {str(seed.path[sample[copy.query]]) for copy in search.copies}
    value, low, high = proportion(len(hit), len(looked))
    # A printed design repeats on every item, and registration cannot tell that from one item photographed twice.
    word: Word = "look" if hit else "ok"
    words = (
        f"{len(hit)} found. If the pairs named below show one item, give them one group and run again; "
        "if the product itself repeats, as a printed design does, this is no leak."
        if hit
        else f"None found; at most {100 * high:.1f} % of the test images could have one that this search sees."
    )
    size = range_in_words([len(among_rows) for _, among_rows, _ in found])
    pairs = range_in_words([search.examined for *_, search in found])
    n = f"{len(looked)} test images against {size} {among} a seed, the {pairs} most similar pairs registered"
    return Finding(name, "share", value, low, high, 0.0, "none", n, word, words)
