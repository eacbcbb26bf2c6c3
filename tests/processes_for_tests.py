"""What tests share that run code in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import fastiou

PACKAGE = Path(fastiou.__file__).parent


PRELUDE = """
import warnings
warnings.simplefilter("error")
import numpy as np
import fastiou
from fastiou import reference

from fastiou.runtime import threads

threads.FORCED = True
rng = np.random.default_rng(0)
low = rng.random((500, 2)) * 100
boxes = np.concatenate([low, low + rng.random((500, 2)) * 20 + 1], axis=1)
expected = reference.box_iou(boxes, boxes)

def check():
    scores = fastiou.box_iou(boxes, boxes)  # more than a serial kernel takes
    assert np.array_equal(scores, expected)
    few = fastiou.box_iou(boxes[:9], boxes[:9])
    assert np.array_equal(few, expected[:9, :9])
"""


Python = Callable[..., str]
