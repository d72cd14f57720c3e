"""What ``scripts/pack_mesh_worlds.py`` makes of its scenes: lamps, suns, loose things."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kaykit_scenes import lamp_heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Hung:
    """Lamps that shine together, from given points."""

    at: tuple[tuple[float, float, float], ...]
    body_m: float = 0.0
    """Within this distance nothing casts a shadow: the lamps themselves."""
    glass: tuple[str, ...] = ()
    """Pieces whose brightest parts glow with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What to make of a scene; pieces go by how their names begin."""

    name: str
    lamps: tuple[tuple[str, ...], ...]
    """Pieces that are lamps, one source a group."""
    hung: tuple[Hung, ...]
    suns: tuple[tuple[float, float], ...]
    """Azimuth (0 along +z, towards +x) and height in degrees."""
    loose: tuple[str, ...]
    tints: dict[str, float]
    shell: tuple[str, ...]
    spacing_m: tuple[float, float]
    """Between points of light, on the shell and on what stands in it."""
    longest_edge_m: float
    is_open: bool = False
    """Whether it stands under the sky."""
    step_m: float = 0.12
    """How much higher or lower than y = 0 people walk."""
    cell_m: float = 0.05
    """Of the grid on which walks are looked for."""
    deepest_m: float = math.inf
    """What lies lower is left out: nobody sees it."""
    cramped_m: float = 0.06
    """Whoever sees no farther than this, in the mean, is wedged in between things and seen by nobody."""
    well_wound: bool = False
    """Whether all triangles are wound so that their front is outside."""
    has_palette: bool = False
    """Pieces share pictures of plain colours, and yet each changes its colour by itself."""


HOUSE = Place(
    name="house",
    lamps=(
        ("Chandelier_01_001",),
        ("Chandelier_01_002",),
        ("Chandelier_01_003",),
        ("Chandelier_01_004",),
        ("LightC",),
    ),
    hung=(Hung(at=((-4.0, -2.35, -3.5),)), Hung(at=((7.0, -2.35, -3.5),))),
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
    hung=tuple(Hung(at=((x, -7.5, z),)) for x in (-3.4, 3.4) for z in (-7.0, 0.0, 7.0)),
    suns=(),
    loose=("Cluttering", "Bucket", "TrashCan", "PalletJack", "ShelfD", "ShelfE"),
    tints={"Wall": 0.7, "Ground": 0.4, "Roof": 0.4},
    shell=("Wall", "Ground", "Roof"),
    spacing_m=(0.45, 0.22),
    longest_edge_m=2.5,
)
FLAT = Place(
    name="flat",
    lamps=(),
    hung=(
        Hung(at=((2.7, -2.35, 2.1),)),
        Hung(at=((7.8, -2.35, 2.1),)),
        Hung(at=((2.7, -2.35, 6.0),)),
        Hung(at=((7.7, -2.35, 6.0),)),
        Hung(at=((0.45, -1.4, 3.7),), body_m=0.35, glass=("lamp_living",)),
        Hung(at=((0.6, -1.1, 7.65), (3.4, -1.1, 7.65)), body_m=0.3, glass=("lamp_bed",)),
        Hung(at=((9.6, -1.4, 7.6),), body_m=0.35, glass=("lamp_study",)),
    ),
    suns=((180, 24), (200, 38), (160, 30), (0, 26), (25, 40), (-90, 25), (-70, 36)),
    loose=(
        *("rug", "table_low", "armchair", "cabinet", "lamp_table", "cactus", "book", "pictureframe"),
        *("shelf", "chair", "couch", "table_small", "bed_single"),
    ),
    tints={"Floor": 0.5, "Wall": 0.6, "Ceiling": 0.3},
    shell=("Floor", "Wall", "Ceiling"),
    spacing_m=(0.2, 0.2),
    longest_edge_m=1.2,
    well_wound=True,
    has_palette=True,
)
TOWN = Place(
    name="town",
    lamps=(),
    hung=(Hung(at=lamp_heads()[::2], body_m=0.3), Hung(at=lamp_heads()[1::2], body_m=0.3)),
    suns=((-140, 22), (-95, 40), (-50, 28), (0, 50), (40, 24), (85, 42), (130, 30), (175, 48)),
    loose=("car", "bench", "bush", "firehydrant", "box", "dumpster"),
    tints={"Road": 0.3, "building": 0.9, "car": 1.0, "Streetlight": 0.3},
    shell=("Road",),
    spacing_m=(0.8, 0.7),
    longest_edge_m=4.0,
    is_open=True,
    step_m=0.2,
    cell_m=0.1,
    deepest_m=0.05,
    cramped_m=0.25,
    well_wound=True,
    has_palette=True,
)


def starts(name: str, beginnings: tuple[str, ...]) -> bool:
    """Whether a name begins with one of some words."""
    return any(name.startswith(beginning) for beginning in beginnings)
