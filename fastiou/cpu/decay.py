"""By how much soft suppression lowers scores: one formula for CPU and GPU."""

from __future__ import annotations

import math

import numpy as np
from numba.extending import register_jitable

from fastiou.metrics import product
from fastiou.runtime.vectors import power_of_two

__all__ = ["LEAST_SCORE", "TAKEN", "factor_of"]


#: Current score of a member that was taken, and the least one that can be lowered.
TAKEN = -1.0
LEAST_SCORE = 5e-324

#: ln 2 in two parts, of which the first times a small integer is exact, and 1 / ln 2.
LN2, REST_OF_LN2, PER_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1 / math.log(2)

#: Below this the exponential is 0.
LEAST_EXPONENT = -745.2

#: What is multiplied by a power of two below this may come to be below all normal numbers, and is
#: rounded once: at last, by `TINY`, 2⁻⁵¹².
LEAST_POWER, TINY = -1000, 2.0**-512


@register_jitable
def exponential(x: float) -> float:
    """E to the power of a float64 that is not above 0, off by one unit at most.

    Libraries round their last bits each in its own way, and those of a GPU are not those of a CPU.
    What is below ln 2 / 2 is left to a rational approximation (Sun's fdlibm).
    """
    if x < LEAST_EXPONENT:
        return 0.0
    power = math.floor(product(x, PER_LN2) + 0.5)
    high = x - product(np.float64(power), LN2)
    low = product(np.float64(power), REST_OF_LN2)
    r = high - low
    t = product(r, r)
    even = product(t, -1.65339022054652515390e-06 + product(t, 4.13813679705723846039e-08))
    even = product(t, 6.61375632143793436117e-05 + even)
    even = product(t, -2.77777777770155933842e-03 + even)
    c = r - product(t, 1.66666666666666019037e-01 + even)
    y = 1.0 - ((low - product(r, c) / (2.0 - c)) - high)
    if power < LEAST_POWER:
        return product(product(y, power_of_two(power + 512)), TINY)
    return product(y, power_of_two(power))


@register_jitable
def factor_of(score: float, is_linear: bool, sigma: float) -> float:
    """What a member's score is multiplied by if it scores so much (float64) with one taken."""
    if is_linear:
        # COCO's own arithmetic can score just above 1.
        return max(0.0, 1.0 - score)
    return exponential(-product(score, score) / sigma)
