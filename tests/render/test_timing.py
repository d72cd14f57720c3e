"""Easing against the numerical integral of its speed."""

import math

import numpy as np
import pytest
from scipy.integrate import cumulative_trapezoid

from render.timing import STEADY, Ease, eased


@pytest.mark.parametrize("ease", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.4), (0.2, 0.5), (0.5, 0.5), (1.0, 0.0)])
def test_the_way_is_the_integral_of_the_speed(ease: tuple[float, float]):
    at = np.linspace(0.0, 1.0, 20_001)
    speed = np.ones_like(at)
    for share, ramp in ((ease[0], at), (ease[1], 1.0 - at)):
        if share:
            x = np.clip(ramp / share, 0.0, 1.0)
            speed *= x * x * (3.0 - 2.0 * x)
    expected = cumulative_trapezoid(speed, at, initial=0.0)
    found = Ease(start=ease[0], end=ease[1])
    np.testing.assert_allclose(eased(at, found), expected / expected[-1], atol=1e-7)
    assert found.mean_speed == pytest.approx(expected[-1], abs=1e-7)


def test_a_steady_move_goes_as_time_goes():
    at = np.linspace(0.0, 1.0, 7)
    np.testing.assert_array_equal(eased(at, STEADY), at)


@pytest.mark.parametrize("ease", [(-0.1, 0.0), (0.6, 0.5), (math.nan, 0.0)])
def test_shares_that_do_not_fit_into_the_time_are_refused(ease: tuple[float, float]):
    with pytest.raises(ValueError, match="at most 1 together"):
        Ease(start=ease[0], end=ease[1])
