"""Finishing: layers laid over a background as they are shown, and its gradients."""

from __future__ import annotations

from typing import no_type_check

from render._splats.arithmetic import ONE, ZERO, strict


@strict
@no_type_check
def lay_over(layers, background, canvas):
    """Finish layers as they are shown, with the operations that torch would take on them."""
    height, width = canvas.alpha.shape
    for j in range(height):
        for i in range(width):
            pixel, alpha = layers[j, i], layers[j, i, 4]
            through = ONE - alpha
            for channel in range(3):
                canvas.rgb[j, i, channel] = pixel[channel] + through * background[j, i, channel]
            canvas.alpha[j, i] = alpha
            canvas.depth[j, i] = pixel[3] / alpha if alpha > ZERO else ZERO


@strict
@no_type_check
def lay_over_back(layers, background, by, slopes):
    """Write PIXEL_SLOPES a pixel, given the gradient by what was shown.

    Depth is shown as a quotient, so that all splats together add nothing by it.
    """
    height, width = by.alpha.shape
    for j in range(height):
        for i in range(width):
            pixel, slope, alpha = layers[j, i], slopes[j, i], layers[j, i, 4]
            by_alpha, whole = by.alpha[j, i], ZERO
            for channel in range(3):
                slope[channel] = by.rgb[j, i, channel]
                by_alpha -= by.rgb[j, i, channel] * background[j, i, channel]
                whole += by.rgb[j, i, channel] * pixel[channel]
            share = by.depth[j, i] / alpha if alpha > ZERO else ZERO
            slope[3] = share
            slope[4] = by_alpha - (pixel[3] / alpha * share if alpha > ZERO else ZERO)
            slope[5] = whole + by_alpha * alpha
