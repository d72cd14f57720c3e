"""Generators: what is known of some views in, whole RGB-D views out.

Room: worldgen. ``Generator`` is the protocol that ``grow`` speaks; ``RGBDGenerator`` is ours.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from render.frames import Frames
from worldgen.conditions import (
    FEW_KNOWN,
    Known,
    SceneUnits,
    channels_of,
    frames_of,
    images_of,
    known_pictures,
    nothing_known,
)
from worldgen.model.attention import views_of
from worldgen.model.trunk import Recall
from worldgen.model.weights import DEFAULT_WEIGHTS, compute_dtype, load_model, weights_path
from worldgen.sampling.flow import bent, levels, sample
from worldgen.sampling.history import CLEAN, CONDITIONAL, Context, Guidance, noise_like
from worldgen.sampling.joint import ClipDenoiser, Reader
from worldgen.sampling.overlap import Overlap
from worldgen.sampling.schedules import Schedule
from worldgen.settle import settled

SAMPLING = 3
"""Raised whenever the same weights and arguments give other frames than before: a path that was begun with
the older way of sampling must not go on with the newer one."""

WHOLE_STEPS = 32
"""Steps at least for a view of which less than ``FEW_KNOWN`` is known: all that follows goes on from it, and
four steps leave it grey and grainy. Frechet distance of whole views to held-out ones: 0.068 with 4
steps, 0.042 with 16, 0.005 with 32; halves of the held-out views are 0.003 apart."""

REMEMBERED_FRAMES = 32
"""Frames whose keys and values a generator keeps, about 1.3 MB each: recall mostly asks for the same."""


@runtime_checkable
class Generator(Protocol):
    """Anything that can imagine views of a world."""

    @property
    def name(self) -> str:
        """What a world records as the maker of its frames; another name for whatever makes other frames."""
        ...

    @property
    def size(self) -> int:
        """Pixels a side of the pictures it makes."""
        ...

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """Imagine the views of ``known``; equal arguments give equal frames on one machine.

        Args:
            known: what is known of each view, and the views' cameras.
            recall: finished frames that the new ones should be consistent with.
            units: how the world measures.
            seed: decides everything that is not known.
        """
        ...


class RGBDGenerator:
    """Our model behind the protocol: flow matching in a few steps.

    A shortcut model is told how long a step is and answers for all of it: it takes even Euler steps. What
    flow models need on top, a change that is carried on and a bent grid, would correct it a second time.
    """

    def __init__(
        self,
        weights: Path | str = DEFAULT_WEIGHTS,
        *,
        steps: int = 4,
        shift: float = 1.0,
        routed: int | None = None,
        schedule: Schedule | Overlap | None = None,
        guidance: Guidance = CONDITIONAL,
        context: Context = CLEAN,
        device: torch.device | str | None = None,
    ):
        """Load weights.

        Args:
            weights: a safetensors file, or the name of weights that ship with the package.
            steps: evaluations of the model a frame, 1 to 64; where a call is told less than
                ``FEW_KNOWN`` of the pixels, a flow model takes at least ``WHOLE_STEPS``.
            shift: above 1, more of the steps are spent near noise (A7.3).
            routed: of the recalled frames, how many each token attends to (A6.3); all where not given.
            schedule: how the frames of a call are sampled together, each seeing those before it; where
                None, at once and without seeing each other.
            guidance: how far frames are pushed towards what they recall and see; each of its distinct
                showings costs an evaluation a step.
            context: how finished frames are shown.
            device: where the model runs; a CUDA device if there is one, else the CPU. What goes in and comes
                out is on the CPU, and the noise is drawn there.

        Raises:
            ValueError: if there are no such weights, or a number makes no sense, or a shortcut model is asked
                for steps that are not all of one length.
        """
        if not 1 <= steps <= 64:
            raise ValueError(f"steps must lie between 1 and 64, got {steps}")
        if routed is not None and routed < 1:
            raise ValueError(f"a token attends to at least one recalled frame, got routed = {routed}")
        if isinstance(schedule, Schedule):
            schedule.matrix(steps, 1)  # refuses a delay that does not fit
        self._schedule, self._guidance, self._context = schedule, guidance, context
        path = weights_path(weights)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model, self.size = load_model(path, device=self.device)
        if self.model.config.shortcut and (shift != 1.0 or isinstance(schedule, Overlap)):
            raise ValueError(
                f"a shortcut model takes steps of one length, got shift {shift:g} and schedule {schedule}; "
                f"leave shift at 1 and overlap no clips, or take weights of a flow model"
            )
        self._step = 1.0 / steps if self.model.config.shortcut else None
        grid = levels(steps, shift=shift)
        self._grid = bent(grid) if self._step is None else grid
        whole = bent(levels(max(steps, WHOLE_STEPS), shift=shift))
        self._whole_grid = whole if self._step is None and schedule is None else self._grid
        self._recalled: OrderedDict[bytes, Recall] = OrderedDict()
        sampler = f"{steps}" if shift == 1.0 else f"{steps}/{shift:g}"
        extras = (
            schedule,
            guidance if guidance != CONDITIONAL else None,
            context if context != CLEAN else None,
        )
        sampler += "".join(f":{extra.label}" for extra in extras if extra is not None)
        sampler += "" if routed is None else f":routed{routed}"
        self._routed = routed
        self.name = f"rgbd:{self.model.config.name}:{_digest(path)[:16]}:{sampler}"

    def __call__(self, known: Known, recall: Frames | None, *, units: SceneUnits, seed: int) -> Frames:
        """See :class:`Generator`."""
        n, h, w = known.depth.shape[:3]
        noise = torch.randn((1, n, 4, h, w), generator=torch.Generator().manual_seed(seed))
        share = float((known.has_rgb | known.has_depth).float().mean())
        grid = self._grid if share >= FEW_KNOWN else self._whole_grid
        return self.imagine(known, recall, units=units, noise=noise, grid=grid)

    @torch.no_grad()
    def imagine(
        self,
        known: Known,
        recall: Frames | None,
        *,
        units: SceneUnits,
        noise: Float[Tensor, "1 n 4 h w"],
        grid: Float[Tensor, " levels"] | None = None,
    ) -> Frames:
        """Imagine the views of ``known`` from ``noise``, which is standard normal in every number.

        ``grid`` holds the noise levels of the steps; that of ``steps`` where not given.
        """
        grid = self._grid if grid is None else grid
        condition = channels_of(known, units)

        def finish(i: int, image: Tensor) -> Reader:
            one = settled(image.cpu(), condition[:, i : i + 1])
            return self._reader(frames_of(one, known.cameras[i : i + 1], units), units)

        denoise = ClipDenoiser(
            self.model,
            condition=condition.to(self.device),
            views=views_of(known.cameras, scale=units.scale).to(self.device),
            recalled=[] if recall is None else [self._reader(recall[[i]], units) for i in range(len(recall))],
            finish=finish,
            guidance=self._guidance,
            linked=self._schedule is not None,
            routed=self._routed,
            step=self._step,
        )
        imagined = _imagined(condition)
        if self._step is not None:
            imagined = torch.zeros_like(imagined)  # Euler steps; see the class
        with _suited(self.device):
            on_device = (part.to(self.device) for part in (noise, imagined))
            images = self._sampled(denoise, *on_device, grid=grid).cpu()
        return frames_of(settled(images, condition), known.cameras, units)

    def _sampled(
        self,
        denoise: ClipDenoiser,
        noise: Float[Tensor, "1 n 4 h w"],
        imagined: Float[Tensor, "1 n 4 h w"],
        *,
        grid: Float[Tensor, " levels"],
    ) -> Float[Tensor, "1 n 4 h w"]:
        if self._schedule is not None:
            return self._schedule.sample(denoise, noise, grid=grid, imagined=imagined)
        every = list(range(noise.shape[1]))
        return sample(lambda x, t: denoise(x, t, every), noise, grid=grid, imagined=imagined)

    def _reader(self, frame: Frames, units: SceneUnits) -> Reader:
        return cache(lambda history: self._remembered(frame, units, self._context.at(history)))

    def _remembered(self, frame: Frames, units: SceneUnits, context: Context) -> Recall:
        """Keys and values of one frame; those of frames recalled lately are still there.

        A frame that is shown with noise is shown as the model meets others on their way: nothing is said
        to be known of it, or the picture beside it would tell what the noise hides.
        """
        digest = hashlib.blake2b(repr(units).encode(), digest_size=16)
        for tensor in (frame.rgb, frame.depth, frame.valid, frame.cameras.K, frame.cameras.w2c):
            digest.update(tensor.contiguous().numpy().data)
        key = digest.digest() + context.label.encode()
        if key not in self._recalled:
            known = nothing_known(frame.cameras) if context.level else known_pictures(frame)
            image = images_of(frame, units)
            self._recalled[key] = self.model.remember(
                context.shown(image, noise_like(image, key=key)).to(self.device),
                condition=channels_of(known, units).to(self.device),
                views=views_of(frame.cameras, scale=units.scale).to(self.device),
                level=context.level,
            )
            if len(self._recalled) > REMEMBERED_FRAMES:
                self._recalled.popitem(last=False)
        self._recalled.move_to_end(key)
        return self._recalled[key]


@contextmanager
def _suited(device: torch.device) -> Iterator[None]:
    """Run the model as it suits a device, and the same way every time.

    On a CPU in bfloat16 a frame is a thousand small operations: two threads that sleep between them are
    slower than one, two that spin are ten times slower as soon as another process wants a core. In float32
    the operations are long enough to share. On a CUDA device only convolutions that always add up in the same
    order are taken.
    """
    before = torch.get_num_threads()
    if device.type == "cpu" and compute_dtype(device) == torch.bfloat16:
        torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(before)


def _imagined(condition: Float[Tensor, "1 n 11 h w"]) -> Float[Tensor, "1 n 4 h w"]:
    """1 in the colours that are not known; depth is better smooth, for its noise tears surfaces open."""
    unknown = 1.0 - condition[:, :, 4:5]
    return torch.cat([unknown, unknown, unknown, torch.zeros_like(unknown)], dim=2)


def _digest(path: Path) -> str:
    """Of the weights and of how they are sampled."""
    with path.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(f"{weights}/{SAMPLING}".encode()).hexdigest()
