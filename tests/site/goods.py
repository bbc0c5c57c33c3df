"""What the site sells and whom it employs: the records behind its lists and tables."""

from __future__ import annotations

from dataclasses import dataclass

_ADJECTIVES = ("Oak", "Steel", "Linen", "Copper", "Marble", "Walnut", "Wool", "Glass")
_NOUNS = ("Chair", "Lamp", "Table", "Shelf", "Rug", "Vase", "Clock", "Bench")
_FIRST = ("Ada", "Grace", "Alan", "Edsger", "Barbara", "Donald", "Margaret", "Ken", "Radia", "Tim")
_LAST = ("Archer", "Baker", "Carter", "Draper", "Fisher")
_TEAMS = ("Sales", "Support", "Engineering")


@dataclass(frozen=True)
class Product:
    """An entry of the product list."""

    number: int
    name: str
    cents: int
    stock: int
    rating: float

    @property
    def price(self) -> str:
        """As the page shows it."""
        return f"${self.cents / 100:,.2f}"

    @property
    def sku(self) -> str:
        """Its article number."""
        return f"SKU-{self.number:03d}"


@dataclass(frozen=True)
class Person:
    """A row of the staff table."""

    number: int
    name: str
    team: str
    city: str
    salary: int


PRODUCTS = tuple(
    Product(
        number,
        f"{_ADJECTIVES[number % 8]} {_NOUNS[(number * 3 + number // 8) % 8]} {number}",
        999 + number * 1357 % 250_000,
        number * 7 % 23,
        1 + number * 11 % 41 / 10,
    )
    for number in range(1, 37)
)
PEOPLE = tuple(
    Person(
        number,
        f"{_FIRST[number % 10]} {_LAST[number % 5]} {number}",
        _TEAMS[number % 3],
        ("Berlin", "Lisbon", "Osaka", "Quito")[number % 4],
        40_000 + number * 1_250,
    )
    for number in range(1, 48)
)
