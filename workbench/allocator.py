"""CUDA's caching allocator, simulated: which blocks a sequence of requests is handed, and what they add up to.

The rules are those of torch's c10/cuda/CUDACachingAllocator with its default settings. One stream, no memory limit:
nothing is given back to the device or retried, and a segment's address is the order in which it was taken.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

MIB = 2**20
BLOCK = 512
"""Every request is rounded up to a multiple of this, and none gets less."""
SMALL = MIB
"""Requests up to this size come from the small pool; in the large pool, a rest up to this size is not split off."""
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
"""What a large request below `OWN_SEGMENT` makes the allocator take from the device."""
OWN_SEGMENT = 10 * MIB
"""From this size on a request gets a segment of its own size, rounded up to `SMALL_SEGMENT`."""


def rounded(size: int) -> int:
    """The bytes a request asks for, in whole blocks."""
    return max(BLOCK, -(-size // BLOCK) * BLOCK)


@dataclass(slots=True, eq=False)
class Block:
    """A piece of a segment, in use or free, between its neighbours in the same segment."""

    address: int
    size: int
    small: bool
    """Whether it belongs to the small pool."""
    free: bool = True
    before: Block | None = None
    after: Block | None = None


@dataclass(slots=True)
class Allocator:
    """The state of both pools; sizes in bytes."""

    blocks: bool = True
    """Whether memory comes in blocks of segments; if not, a request is rounded to 512 bytes and that is all."""
    allocated: int = 0
    """Sum of the blocks in use, as `torch.cuda.memory_allocated` has it."""
    reserved: int = 0
    """Sum of the segments, as `torch.cuda.memory_reserved` has it; without blocks, the most that was allocated."""
    peak: int = 0
    """The largest `allocated` since `forget_peak`."""
    _free: dict[bool, list[tuple[int, int]]] = field(default_factory=lambda: {True: [], False: []})
    """Size and address of the free blocks of each pool, sorted: best fit is a bisection."""
    _at: dict[int, Block] = field(default_factory=dict)
    """The free blocks by address."""
    _end: int = 0

    def take(self, size: int) -> Block:
        """A block of at least `size` bytes."""
        size = rounded(size)
        block = self._best(size, size <= SMALL) if self.blocks else Block(-1, size, small=False)
        block.free = False
        self.allocated += block.size
        self.peak = max(self.peak, self.allocated)
        if not self.blocks:
            self.reserved = max(self.reserved, self.allocated)
        return block

    def give(self, block: Block) -> None:
        """Take a block back and merge it with the free ones beside it."""
        if block.free:
            raise ValueError(f"a block of {block.size} bytes was given back twice")
        block.free = True
        self.allocated -= block.size
        if not self.blocks:
            return
        if block.after is not None and block.after.free:
            self._withdraw(block.after)
            self._join(block, block.after)
        if block.before is not None and block.before.free:
            self._withdraw(block.before)
            block = self._join(block.before, block)
        self._offer(block)

    def forget_peak(self) -> None:
        """Begin anew with the peak, as `torch.cuda.reset_peak_memory_stats` does."""
        self.peak = self.allocated

    def _best(self, size: int, small: bool) -> Block:
        """The smallest free block that is large enough, lowest address among equals; split if the rest is worth it."""
        pool = self._free[small]
        index = bisect_left(pool, (size, -1))
        block = self._at.pop(pool.pop(index)[1]) if index < len(pool) else self._segment(size, small)
        rest = block.size - size
        if rest >= BLOCK if small else rest > SMALL:
            remaining = Block(block.address + size, rest, small, before=block, after=block.after)
            if block.after is not None:
                block.after.before = remaining
            block.size, block.after = size, remaining
            self._offer(remaining)
        return block

    def _segment(self, size: int, small: bool) -> Block:
        if small:
            taken = SMALL_SEGMENT
        else:
            taken = LARGE_SEGMENT if size < OWN_SEGMENT else -(-size // SMALL_SEGMENT) * SMALL_SEGMENT
        block = Block(self._end, taken, small)
        self._end += taken
        self.reserved += taken
        return block

    def _offer(self, block: Block) -> None:
        insort(self._free[block.small], (block.size, block.address))
        self._at[block.address] = block

    def _withdraw(self, block: Block) -> None:
        pool = self._free[block.small]
        del pool[bisect_left(pool, (block.size, block.address))]
        del self._at[block.address]

    @staticmethod
    def _join(first: Block, second: Block) -> Block:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        return first
