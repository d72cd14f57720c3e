"""Joint: the model's answer for frames that are sampled together.

Room: worldgen. Frames that take a step see the earlier ones among them as they are (``links``) and all
that are finished as keys and values, as a generator recalls frames of earlier calls: so one frame after
the other is the same within a call as over several.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from worldgen.model.attention import Views
from worldgen.model.rgbd import RGBDModel
from worldgen.model.trunk import Links, Reading, Recall
from worldgen.sampling.history import Guidance, Showing, guided

Reader = Callable[[float], Recall]
"""A finished frame's keys and values when it is noised to a level in [0, 1)."""


READINGS = 4
"""Ways of showing the history that a clip keeps at hand; guidance takes turns among a few."""


class ClipDenoiser:
    """The ``FrameDenoiser`` of one clip."""

    def __init__(
        self,
        model: RGBDModel,
        *,
        condition: Float[Tensor, "1 n 11 h w"],
        views: Views,
        recalled: list[Reader],
        finish: Callable[[int, Tensor], Reader],
        guidance: Guidance,
        linked: bool,
        routed: int | None = None,
        step: float | None = None,
    ):
        """Describe the clip.

        Args:
            model: what is asked.
            condition: what is known of the frames.
            views: their cameras.
            recalled: finished frames of earlier calls.
            finish: how a frame of this clip is read back once it is finished: number, and image
                ``1 1 4 h w``.
            guidance: how showings of the history are composed.
            linked: whether frames of the clip see each other, finished or not.
            routed: of the finished frames, how many each token attends to; all where None.
            step: how long every step is, for a model that is told; None for one that is not.
        """
        self._model, self._condition, self._views = model, condition, views
        self._recalled, self._finish = recalled, finish
        self._guidance, self._linked, self._routed = guidance, linked, routed
        self._step = step
        self._finished: dict[int, tuple[Tensor, Reader]] = {}
        self._readings: OrderedDict[tuple[int, ...], tuple[list[Recall], Reading]] = OrderedDict()

    def __call__(
        self, x: Float[Tensor, "1 n 4 h w"], t: Float[Tensor, "1 n"], changing: list[int]
    ) -> Float[Tensor, "1 a 4 h w"]:
        """See :data:`worldgen.sampling.schedules.FrameDenoiser`."""
        readers = [*self._recalled, *self._finished_of(x, t, changing)]
        count = len(changing)
        links: Links = tuple(tuple(range(i)) for i in range(count))
        d = None if self._step is None else torch.full_like(t[:, changing], self._step)

        def answer(showing: Showing) -> Tensor:
            shown = [reader(h) for reader, h in zip(readers, showing.levels, strict=True) if h < 1.0]
            views = self._views[changing]
            return self._model(
                x[:, changing],
                t[:, changing],
                d=d,
                condition=self._condition[:, changing],
                views=views,
                links=links if showing.linked else None,
                recall=self._read(shown, views, changing) if shown else None,
                routed=self._routed,
            )

        return guided(self._guidance.weights(len(readers), linked=self._linked and count > 1), answer)

    def _read(self, shown: list[Recall], views: Views, changing: list[int]) -> Reading:
        """Finished frames as the changing ones read them: the same at every step until one more is done."""
        key = (*changing, -1, *map(id, shown))
        if key not in self._readings:
            height, width = self._condition.shape[-2:]
            reading = self._model.reading(Recall.joined(shown), views=views, height=height, width=width)
            self._readings[key] = shown, reading  # the frames stay, or others might come to have their ids
            if len(self._readings) > READINGS:
                self._readings.popitem(last=False)
        return self._readings[key][1]

    def _finished_of(self, x: Tensor, t: Tensor, changing: list[int]) -> list[Reader]:
        """How the finished frames of the clip are read; one that was sampled again is read anew."""
        if not self._linked:
            return []
        readers = []
        for i in range(x.shape[1]):
            if i in changing or t[0, i] != 0.0:
                continue
            image = x[:, i : i + 1]
            known = self._finished.get(i)
            if known is None or not torch.equal(known[0], image):
                known = (image.clone(), self._finish(i, image))
                self._finished[i] = known
            readers.append(known[1])
        return readers
