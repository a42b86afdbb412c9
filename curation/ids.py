"""Stable numbers for images, candidates and masks: the same input gives the same id on every machine."""

import hashlib

INDEX_BITS = 17  # 131,072 candidates an image; SAM's densest published grid makes 9,216
IMAGE_BITS = 30  # 1.07 billion images a run; SA-1B has 11 million
RUN_BITS = 16  # 65,536 runs a workspace; together 63 bits, a positive int64


def image_id(uri: str) -> int:
    """63 bits of SHA-256 over the image's canonical URI, so that every run names one picture alike.

    At 11 million images the chance of any two sharing an id is 7 in a million.
    """
    return int.from_bytes(hashlib.sha256(uri.encode()).digest()[:8], "big") >> 1


def mask_id(run_id: int, image_number: int, index: int) -> int:
    """Pack a run, the image's place in that run and the place inside the image into one int64.

    A kept candidate and its mask share this id. Raises OverflowError out of range.
    """
    for value, bits, name in (
        (run_id, RUN_BITS, "run_id"),
        (image_number, IMAGE_BITS, "image_number"),
        (index, INDEX_BITS, "index"),
    ):
        if not 0 <= value < 1 << bits:
            raise OverflowError(f"{name} is {value}; it must lie in 0..{(1 << bits) - 1}")
    return (run_id << IMAGE_BITS | image_number) << INDEX_BITS | index


def mask_id_range(run_id: int, first_image: int, stop_image: int) -> tuple[int, int]:
    """The half-open range of mask ids of images [first_image, stop_image) of a run."""
    return mask_id(run_id, first_image, 0), mask_id(run_id, stop_image - 1, (1 << INDEX_BITS) - 1) + 1


def unpack_mask_id(value: int) -> tuple[int, int, int]:
    """(run_id, image_number, index) of a mask id."""
    index = value & ((1 << INDEX_BITS) - 1)
    image_number = value >> INDEX_BITS & ((1 << IMAGE_BITS) - 1)
    return value >> (INDEX_BITS + IMAGE_BITS), image_number, index
