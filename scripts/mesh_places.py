"""What ``scripts/pack_mesh_worlds.py`` makes of the house and the warehouse: lamps, suns, loose things."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What to make of a scene; pieces go by how their names begin."""

    name: str
    lamps: tuple[tuple[str, ...], ...]
    """Pieces that are lamps, one source a group."""
    hung: tuple[tuple[float, float, float], ...]
    """Lamps without a body."""
    suns: tuple[tuple[float, float], ...]
    """Azimuth (0 along +z, towards +x) and height in degrees."""
    loose: tuple[str, ...]
    tints: dict[str, float]
    shell: tuple[str, ...]
    spacing_m: tuple[float, float]
    """Between points of light, on the shell and on what stands in it."""
    longest_edge_m: float


HOUSE = Place(
    name="house",
    lamps=(
        ("Chandelier_01_001",),
        ("Chandelier_01_002",),
        ("Chandelier_01_003",),
        ("Chandelier_01_004",),
        ("LightC",),
    ),
    hung=((-4.0, -2.35, -3.5), (7.0, -2.35, -3.5)),
    suns=((-100, 25), (-62, 38), (-30, 22), (-5, 42), (20, 28), (50, 20), (75, 40), (100, 24)),
    loose=(
        *("Chair", "DeskPortrait", "Portrait", "Trash", "Dumbbell", "FitnessEquipment", "BalconyTable"),
        *("Tablet", "ShoeRack", "Carpet", "Tableware", "KitchenUtensils", "Seasoning", "AirconditionerB"),
        *("Curtain", "Wardrobe", "TV_"),
    ),
    tints={"HouseWall": 0.5, "RoomWall": 0.5, "RoomCeiling": 0.3, "Sofa": 0.9, "Bed": 0.8, "Carpet": 1.0}
    | {"Curtain": 0.9, "Floor": 0.5, "Chair": 0.6, "KitchenCabinet": 0.6},
    shell=("HouseWall", "RoomWall", "RoomCeiling", "Floor"),
    spacing_m=(0.24, 0.24),
    longest_edge_m=1.5,
)
WAREHOUSE = Place(
    name="warehouse",
    lamps=(("Lamp",),),
    hung=tuple((x, -7.5, z) for x in (-3.4, 3.4) for z in (-7.0, 0.0, 7.0)),
    suns=(),
    loose=("Cluttering", "Bucket", "TrashCan", "PalletJack", "ShelfD", "ShelfE"),
    tints={"Wall": 0.7, "Ground": 0.4, "Roof": 0.4},
    shell=("Wall", "Ground", "Roof"),
    spacing_m=(0.45, 0.22),
    longest_edge_m=2.5,
)


def starts(name: str, beginnings: tuple[str, ...]) -> bool:
    """Whether a name begins with one of some words."""
    return any(name.startswith(beginning) for beginning in beginnings)
