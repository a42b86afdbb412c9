"""What is fixed about a sample before anyone judges it: its masks, their order for each rater, who sees which twice.

Everything here follows from the sample and from hashes of names, so that every process plans alike.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

from curation.errors import InputError
from curation.lake import Lake
from curation.review import rules
from curation.review.rules import Shares
from curation.settings import REVIEW


@dataclass(frozen=True)
class Drawn:
    """One mask of a sample."""

    mask_id: int
    run_id: int
    image_id: int
    position: int
    is_small: bool


@dataclass(frozen=True)
class Plan:
    """A sample as it is judged: its masks by position, its seed, and how often raters are checked."""

    sample: str
    seed: int
    masks: tuple[Drawn, ...]
    shares: Shares

    @cached_property
    def doubles(self) -> frozenset[int]:
        """Masks that a second person judges too. Fixed by sample and mask, not by who comes first."""
        share = self.shares.double_review
        return frozenset(m.mask_id for m in self.masks if fraction("double", self.sample, m.mask_id) < share)

    @cached_property
    def by_id(self) -> dict[int, Drawn]:
        """The masks by their number."""
        return {mask.mask_id: mask for mask in self.masks}

    @cached_property
    def orders(self) -> dict[str, tuple[Drawn, ...]]:
        """Orders that were asked for, by rater."""
        return {}

    def is_marked(self, kind: str, rater: str, mask_id: int) -> bool:
        """Whether a hidden check of this kind (gold_check or repeat) is due after this mask.

        The shares are of all that a rater sees, so the chance a mask is higher by what is mixed in.
        """
        shares = {"gold_check": self.shares.gold_check, "repeat": self.shares.repeat}
        return fraction(kind, self.seed, rater, mask_id) < shares[kind] / (1 - sum(shares.values()))


def of(lake: Lake, sample: str) -> Plan:
    """The plan of a sample. Raises InputError where there is no such sample.

    Read once a process; a sample that has grown, or whose workspace checks more or less often, is read again.
    """
    count = "SELECT count(*) FROM samples WHERE sample = ?"
    n_masks = lake.query(count, [sample])[0][0].as_py()
    if not n_masks:
        there = lake.query("SELECT DISTINCT sample FROM samples ORDER BY sample")["sample"].to_pylist()
        raise InputError(
            f"sample {sample!r}: there is no such sample; there are: {', '.join(there) or 'none'}"
        )
    shares = rules.read(lake.root).shares
    key = (str(lake.root), sample, n_masks, shares)
    if key not in _PLANS:
        _PLANS[key] = _read(lake, sample, shares)
    return _PLANS[key]


def order(plan: Plan, rater: str) -> tuple[Drawn, ...]:
    """The masks as this rater sees them: small ones last; else by position, shuffled in blocks for each rater.

    Raters go through the sample together, so that what is judged is a random part of it at any time and second
    opinions come soon; inside a block each has an own order, so that no mask comes late and tired to all.
    """
    if rater not in plan.orders:

        def place(mask: Drawn) -> tuple:
            block = mask.position // REVIEW.order_block
            return mask.is_small, block, fraction("order", plan.sample, rater, mask.mask_id)

        plan.orders[rater] = tuple(sorted(plan.masks, key=place))
    return plan.orders[rater]


def fraction(*parts: object) -> float:
    """A number in [0, 1) that these parts alone determine, on every machine."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


_PLANS: dict[tuple[str, str, int, Shares], Plan] = {}


def _read(lake: Lake, sample: str, shares: Shares) -> Plan:
    rows = lake.query(
        """
        SELECT samples.mask_id, samples.run_id, samples.image_id, samples.position, samples.seed,
            coalesce(masks.area_px < $small_px, false) AS is_small
        FROM samples
        LEFT JOIN masks ON samples.run_id = masks.run_id AND samples.mask_id = masks.mask_id
        WHERE samples.sample = $sample
        ORDER BY samples.position, samples.mask_id
        """,
        {"sample": sample, "small_px": REVIEW.small_px},
    ).to_pylist()
    seed = rows[0]["seed"]
    drawn = tuple(Drawn(**{k: v for k, v in row.items() if k != "seed"}) for row in rows)
    return Plan(sample, seed, drawn, shares)
