"""Blocks of the cache: promised, shared, remembered, given to others."""

import pytest

from sampleset.engines.openvino.blocks import Blocks, keys_of


def taken(blocks: Blocks, count: int) -> list[int]:
    blocks.promised += count
    return [blocks.take() for _ in range(count)]


def test_a_block_is_free_when_its_last_holder_left():
    blocks = Blocks(2)
    (first,) = taken(blocks, 1)
    blocks.hold(first)
    blocks.drop([first])
    assert blocks.available == 1
    blocks.drop([first])
    assert blocks.available == 2


def test_a_promise_lowers_what_is_available():
    blocks = Blocks(3)
    blocks.promised += 2
    assert blocks.available == 1
    blocks.take()
    assert blocks.available == 1


def test_texts_that_begin_alike_share_blocks():
    blocks = Blocks(4)
    text = list(range(10))
    keys = keys_of(text, 4, 0.0)
    assert len(keys) == 2
    held = taken(blocks, 2)
    for key, block in zip(keys, held, strict=True):
        blocks.remember(key, block)
    other = keys_of([*range(7), 99], 4, 0.0)
    assert blocks.recall(other) == held[:1]
    assert blocks.recall(keys_of(text, 4, 1.0)) == []  # with the adapter it is another text


def test_what_is_remembered_gives_way_oldest_first():
    blocks = Blocks(2)
    first, second = taken(blocks, 2)
    blocks.remember(b"first", first)
    blocks.remember(b"second", second)
    blocks.drop([first])
    blocks.drop([second])
    assert blocks.available == 2
    taken(blocks, 1)
    assert blocks.recall([b"first"]) == []
    assert blocks.recall([b"second"]) == [second]
    assert blocks.available == 0


def test_a_remembered_block_that_is_promised_is_not_recalled():
    blocks = Blocks(1)
    (block,) = taken(blocks, 1)
    blocks.remember(b"key", block)
    blocks.drop([block])
    blocks.promised += 1
    assert blocks.recall([b"key"]) == []
    assert blocks.take() == block
    with pytest.raises(KeyError):
        blocks.take()


def test_no_more_are_remembered_than_may_be():
    blocks = Blocks(4, most_idle=1)
    held = taken(blocks, 2)
    for block in held:
        blocks.remember(bytes([block]), block)
    blocks.drop(held)
    assert blocks.recall([bytes([held[0]])]) == []
    assert blocks.recall([bytes([held[1]])]) == [held[1]]
