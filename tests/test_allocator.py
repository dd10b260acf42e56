"""The allocator: blocks, pools and segments of a few requests, followed by hand."""

import pytest

from workbench.allocator import MIB, Allocator


def sizes(*asked):
    """What requests are handed, one after the other."""
    memory = Allocator()
    return [memory.take(size).size for size in asked], memory


@pytest.mark.parametrize(("asked", "handed"), [(1, 512), (512, 512), (513, 1024), (MIB, MIB)])
def test_a_small_request_is_rounded_to_512_bytes(asked, handed):
    (size,), memory = sizes(asked)
    assert (size, memory.allocated, memory.peak, memory.reserved) == (handed, handed, handed, 2 * MIB)


@pytest.mark.parametrize(
    ("asked", "segment"),
    [
        (MIB, 2 * MIB),
        (MIB + 1, 20 * MIB),
        (10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB),
        (10 * MIB + 1, 12 * MIB),
        (33 * MIB, 34 * MIB),
    ],
)
def test_a_request_decides_the_segment_that_is_taken_for_it(asked, segment):
    assert sizes(asked)[1].reserved == segment


def test_a_large_block_is_split_if_the_rest_is_more_than_one_mib():
    (size,), memory = sizes(10 * MIB + 512)  # a segment of 12 MiB: 512 bytes less than 2 MiB remain
    assert (size, memory.reserved) == (10 * MIB + 512, 12 * MIB)
    (size,), memory = sizes(15 * MIB)  # a segment of 16: the rest of exactly 1 MiB stays with it
    assert (size, memory.allocated, memory.reserved) == (16 * MIB, 16 * MIB, 16 * MIB)


def test_a_small_block_is_split_to_the_last_512_bytes():
    (first, second), memory = sizes(MIB, MIB - 512)
    assert (first, second, memory.reserved) == (MIB, MIB - 512, 2 * MIB)
    assert memory.take(512).size == 512
    assert memory.reserved == 2 * MIB
    memory.take(512)
    assert memory.reserved == 4 * MIB


def test_the_pools_do_not_share():
    memory = Allocator()
    memory.take(2 * MIB)  # of a segment of 20
    memory.take(512)
    assert memory.reserved == 22 * MIB


def test_what_was_given_back_is_handed_out_again():
    memory = Allocator()
    for _ in range(3):
        memory.give(memory.take(5 * MIB))
    assert (memory.allocated, memory.peak, memory.reserved) == (0, 5 * MIB, 20 * MIB)


def test_free_neighbours_merge_on_both_sides():
    memory = Allocator()
    one, two, three, four = (memory.take(5 * MIB) for _ in range(4))  # a segment of 20, full
    memory.give(one)
    memory.give(three)
    assert memory.take(6 * MIB).size == 6 * MIB  # neither is large enough
    assert memory.reserved == 40 * MIB
    memory.give(two)
    assert memory.take(15 * MIB).address == one.address  # the first three are one
    assert memory.reserved == 40 * MIB
    memory.give(four)


def test_segments_never_merge():
    memory = Allocator()
    for block in [memory.take(10 * MIB), memory.take(10 * MIB)]:
        memory.give(block)
    memory.take(20 * MIB)
    assert memory.reserved == 40 * MIB


def test_the_smallest_block_that_fits_is_taken_and_the_lowest_of_equal_ones():
    memory = Allocator()
    large, low, high = memory.take(40 * MIB), memory.take(12 * MIB), memory.take(12 * MIB)
    for block in (large, high, low):
        memory.give(block)
    assert memory.take(11 * MIB).address == low.address
    assert memory.take(11 * MIB).address == high.address
    assert memory.take(11 * MIB).address == large.address
    assert memory.reserved == 64 * MIB


def test_the_peak_can_be_forgotten():
    memory = Allocator()
    kept, gone = memory.take(512), memory.take(1024)
    memory.give(gone)
    assert memory.peak == 1536
    memory.forget_peak()
    assert memory.peak == kept.size == 512


def test_without_blocks_a_request_is_rounded_and_that_is_all():
    memory = Allocator(blocks=False)
    blocks = [memory.take(15 * MIB), memory.take(1)]
    assert memory.allocated == 15 * MIB + 512
    for block in blocks:
        memory.give(block)
    assert (memory.allocated, memory.peak, memory.reserved) == (0, 15 * MIB + 512, 15 * MIB + 512)


def test_a_block_given_back_twice_is_a_defect():
    memory = Allocator()
    block = memory.take(1)
    memory.give(block)
    with pytest.raises(ValueError, match="given back twice"):
        memory.give(block)
