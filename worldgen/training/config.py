"""Training configurations: a TOML file is the whole recipe.

Room: worldgen. Unknown keys are refused, so a misspelt knob is an error and not a silent default.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from worldgen.model.rgbd import TOKEN_PIXELS, ModelConfig
from worldgen.training.corruption import DEGRADED_CHANCE, checked_corruption
from worldgen.worlds.layout import DEFAULT_KINDS, checked_kinds

CONFIGS = Path(__file__).parent / "configs"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stretch of training at one resolution."""

    size: int
    """Pixels a side; a multiple of 8."""

    frames: int
    """Frames to train on."""

    batch_clips: int = 4
    """Clips a step."""

    def __post_init__(self) -> None:
        if self.size <= 0 or self.size % TOKEN_PIXELS or min(self.frames, self.batch_clips) <= 0:
            raise ValueError(f"a stage needs frames and a size that {TOKEN_PIXELS} divides, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """Everything that decides the weights, but the machine."""

    model: ModelConfig
    stages: tuple[Stage, ...]
    """One after the other."""

    seed: int = 0
    """Decides the first weights, the clips and the noise."""

    clip_frames: int = 4

    kinds: dict[str, float] = field(default_factory=lambda: dict(DEFAULT_KINDS))
    """Weights of the kinds of worlds that clips walk through, as in :func:`worldgen.worlds.random_scene`."""

    learning_rate: float = 1e-3
    """On the plateau, of both optimisers."""

    weight_decay: float = 0.02
    warmup_steps: int = 200
    """Steps over which the learning rate rises from zero."""

    cooldown: float = 0.25
    """Share of the frames, at the end, over which the learning rate falls to zero."""

    ema: float = 0.9995
    """Decay of the averaged weights a step; they are what is evaluated and shipped."""

    time_shift: float = 3.0
    """Moves the noise levels of training towards noise (A7.3). With 1, a view of which little is known is
    hardly ever trained from pure noise, where sampling in a few steps begins."""

    known_weight: float = 1.0
    """Weight of the absolute error where colour or depth are known."""

    depth_weight: float = 1.0
    """Weight of the loss of the depth code; that of colour is 1."""

    degraded: float = DEGRADED_CHANCE
    """Chance that a frame enters a clip's cache with the errors of an imagined one (noise augmentation)."""

    close: float = 0.0
    """Share of the clips that keep to what is within reach, mostly a bare surface: what a walk sees that
    comes too near, and what no other clip shows."""

    two_streams: bool = False
    """Let frames look at finished frames, as they will when they are sampled, instead of at each other while
    all are noisy (:mod:`worldgen.training.streams`). A step costs about half as much again."""

    corruption: str = "base"
    """"base", or "full": some caches also take in depth edges, know the place from another time, and every
    clip's depths are off by one factor (A12.4)."""

    resampled: float = 0.0
    """Chance that a batch is trained on renders of what the model itself imagines (resampling forcing)."""

    resampled_from: float = 0.3
    """Share of the frames before the first such batch: a model that knows nothing teaches itself nothing."""

    shortcut: float = 0.0
    """Share of the clips that teach one long step to end where two half steps do
    (:mod:`worldgen.training.shortcut`); above 0 if and only if the model is told how long a step is."""

    start_from: str = ""
    """Weights that a run begins with, a file or the name of shipped ones; random ones if there are none."""

    def __post_init__(self) -> None:
        if not self.stages or self.clip_frames < 1:
            raise ValueError("a configuration needs at least one stage and one frame a clip")
        checked_kinds(self.kinds)
        checked_corruption(self.corruption)
        if not (self.learning_rate > 0.0 <= self.weight_decay and 0.0 <= self.ema < 1.0):
            raise ValueError(
                f"learning_rate must be positive, weight_decay not negative and ema in [0, 1), got "
                f"{self.learning_rate}, {self.weight_decay} and {self.ema}"
            )
        if not self.time_shift > 0.0:
            raise ValueError(f"time_shift must be positive, got {self.time_shift}")
        if not (
            self.warmup_steps >= 0
            and 0.0 <= self.cooldown <= 1.0
            and min(self.depth_weight, self.known_weight) >= 0.0
        ):
            raise ValueError(
                f"warmup_steps, depth_weight and known_weight must not be negative and cooldown must lie "
                f"in [0, 1], got {self.warmup_steps}, {self.depth_weight}, {self.known_weight} and "
                f"{self.cooldown}"
            )

        chances = (self.degraded, self.close, self.resampled, self.resampled_from, self.shortcut)
        if not all(0.0 <= chance <= 1.0 for chance in chances):
            raise ValueError(
                "degraded, close, resampled, resampled_from and shortcut must lie in [0, 1], got "
                f"{self.degraded}, {self.close}, {self.resampled}, {self.resampled_from} and {self.shortcut}"
            )
        if (self.shortcut > 0.0) != self.model.shortcut:
            raise ValueError(
                "a share of shortcut clips needs shortcut = true in [model], and the other way round, got "
                f"{self.shortcut} and {str(self.model.shortcut).lower()}"
            )

    @property
    def total_frames(self) -> int:
        """Frames of all stages."""
        return sum(stage.frames for stage in self.stages)

    def stage_at(self, frames: int) -> Stage:
        """The stage that training is in after ``frames`` frames."""
        for stage in self.stages:
            if frames < stage.frames:
                return stage
            frames -= stage.frames
        return self.stages[-1]


def load_config(path: Path) -> TrainConfig:
    """Read a configuration; ``path`` may be the name of one that ships with the package.

    Raises:
        ValueError: if there is no such file, or it holds an unknown or missing key.
    """
    shipped = CONFIGS / f"{path}.toml"
    file = shipped if not path.suffix and shipped.is_file() else path
    if not file.is_file():
        names = ", ".join(sorted(found.stem for found in CONFIGS.glob("*.toml")))
        raise ValueError(f"there is no training configuration at {path}; give a TOML file or one of: {names}")
    try:
        return config_from(tomllib.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file} is no training configuration: {error}") from error


def config_from(table: dict[str, Any]) -> TrainConfig:
    """A configuration from a table of TOML.

    Raises:
        ValueError: if a key is unknown, or a value makes no sense.
        TypeError: if a key is missing, or a value is of another type.
    """
    built = dict(table)
    built["model"] = _built(ModelConfig, built.pop("model", {}))
    built["stages"] = tuple(_built(Stage, stage) for stage in built.pop("stages", ()))
    if "kinds" in built:
        built["kinds"] = {kind: float(weight) for kind, weight in dict(built["kinds"]).items()}
    return _built(TrainConfig, built)


def _built(kind: type[T], table: dict[str, Any]) -> T:
    """A dataclass from a table of TOML; lists become tuples."""
    names = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(table) - names)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r} (known: {', '.join(sorted(names))})")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return kind(**values)
