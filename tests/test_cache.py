"""The array cache: rows appear whole or not at all, for any number of processes."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from counterfeit.cache import ArrayCache, default_cache_folder
from counterfeit.errors import UserError


def open_cache(folder: Path) -> ArrayCache:
    return ArrayCache(folder, "rows", (2, 3), np.float32)


def row(number: int) -> np.ndarray:
    return np.full((1, 2, 3), number, np.float32)


def append_many(folder: Path, first: int) -> None:
    cache = open_cache(folder)
    for number in range(first, first + 40):
        cache.append([f"key{number}"], row(number))


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    cache.append(["a", "b"], np.concatenate([row(1), row(2)]))
    assert "a" in cache and "c" not in cache and len(cache) == 2
    assert cache.missing(["c", "a", "d", "c"]) == ["c", "d"]
    np.testing.assert_array_equal(cache.rows(["b", "a", "b"])[:, 0, 0], [2, 1, 2])
    assert cache.rows([]).shape == (0, 2, 3)
    with pytest.raises(KeyError):
        cache.rows(["c"])


def test_a_second_append_of_a_key_changes_nothing(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    cache.append(["a"], row(1))
    cache.append(["a", "b"], np.concatenate([row(9), row(2)]))
    np.testing.assert_array_equal(cache.rows(["a", "b"])[:, 0, 0], [1, 2])


def test_a_key_given_twice_at_once_has_its_first_row_and_moves_no_other(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    cache.append(["a", "a", "b"], np.concatenate([row(1), row(9), row(2)]))
    cache.append(["c"], row(3))
    np.testing.assert_array_equal(cache.rows(["a", "b", "c"])[:, 0, 0], [1, 2, 3])
    np.testing.assert_array_equal(open_cache(tmp_path).rows(["b", "c"])[:, 0, 0], [2, 3])


def test_reopened_cache_has_the_rows(tmp_path: Path) -> None:
    open_cache(tmp_path).append(["a"], row(1))
    reopened = open_cache(tmp_path)
    reopened.append(["b"], row(2))
    np.testing.assert_array_equal(open_cache(tmp_path).rows(["a", "b"])[:, 0, 0], [1, 2])


def test_a_key_cut_short_by_a_kill_is_no_row(tmp_path: Path) -> None:
    open_cache(tmp_path).append(["aaaa", "bbbb"], np.concatenate([row(1), row(2)]))
    keys = tmp_path / "rows.keys"
    keys.write_bytes(keys.read_bytes()[:-3])
    cache = open_cache(tmp_path)
    assert cache.missing(["aaaa", "bbbb", "bb"]) == ["bbbb", "bb"]
    np.testing.assert_array_equal(cache.rows(["aaaa"]), row(1))


def test_a_cache_can_be_appended_to_after_a_kill(tmp_path: Path) -> None:
    open_cache(tmp_path).append(["aaaa", "bbbb"], np.concatenate([row(1), row(2)]))
    keys = tmp_path / "rows.keys"
    keys.write_bytes(keys.read_bytes()[:-3])
    open_cache(tmp_path).append(["cccc", "dddd"], np.concatenate([row(3), row(4)]))
    cache = open_cache(tmp_path)
    assert len(cache) == 3
    np.testing.assert_array_equal(cache.rows(["aaaa", "cccc", "dddd"])[:, 0, 0], [1, 3, 4])


def test_values_without_keys_after_a_kill_are_overwritten(tmp_path: Path) -> None:
    open_cache(tmp_path).append(["a"], row(1))
    with (tmp_path / "rows.bin").open("ab") as file:
        file.write(b"half a row")
    open_cache(tmp_path).append(["b"], row(2))
    np.testing.assert_array_equal(open_cache(tmp_path).rows(["a", "b"])[:, 0, 0], [1, 2])


def test_two_processes_append_without_mixing_their_rows(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(tmp_path, first)) for first in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    cache = open_cache(tmp_path)
    assert len(cache) == 60
    np.testing.assert_array_equal(cache.rows([f"key{i}" for i in range(60)])[:, 1, 2], np.arange(60))


def test_values_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        open_cache(tmp_path).append(["a"], np.zeros((1, 3, 2)))


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot create the cache folder"):
        open_cache(tmp_path / "file" / "cache")


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERFEIT_CACHE", "/somewhere")
    assert default_cache_folder() == Path("/somewhere")
