"""The batch sizes of an engine."""

from dataclasses import dataclass

from limner.core.util.errors import UserError


@dataclass(frozen=True)
class BatchProfile:
    """The smallest and largest batch that an engine takes, and the one that it is tuned for."""

    minimum: int = 1
    optimum: int = 8
    maximum: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.optimum <= self.maximum:
            raise UserError(
                f"batch {self.minimum} {self.optimum} {self.maximum}: must be MIN OPT MAX with 1 <= MIN <= OPT <= MAX, "
                "such as 1 8 32"
            )

    def sizes(self) -> list[int]:
        """Minimum, optimum and maximum in ascending order, without duplicates."""
        return sorted({self.minimum, self.optimum, self.maximum})

    def parity_sizes(self) -> list[int]:
        """sizes() and the smallest other one in the range: engines have other code paths between those."""
        between = (size for size in range(self.minimum, self.maximum) if size not in self.sizes())
        return sorted({*self.sizes(), next(between, self.minimum)})
