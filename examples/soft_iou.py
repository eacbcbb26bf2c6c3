"""Soft IoU of a worked example, and why it is not between 0 and 1.

Run it with ``python examples/soft_iou.py``.
"""

from __future__ import annotations

import numpy as np

import fastiou

SMOOTH = 1e-6


def main() -> None:
    """Print the numbers of the worked example, step by step."""
    inputs = np.arange(10)
    targets = np.arange(2, 21, 2)

    # What `soft_iou` computes, written out. For masks of 0 and 1 a product is 1 where both are 1,
    # so that its sum is the number of pixels that both cover; the sum of both counts these pixels
    # twice, and less the intersection once: the union.
    intersection = int((inputs * targets).sum())
    total = int((inputs + targets).sum())
    union = total - intersection
    by_hand = (intersection + SMOOTH) / (union + SMOOTH)

    print("inputs       ", *inputs)
    print("targets      ", *targets)
    print("intersection ", intersection)
    print("total        ", total)
    print("union        ", union)
    score = fastiou.soft_iou(inputs, targets, smooth=SMOOTH)
    print(f"soft IoU      {score:.6f}")
    assert abs(score - by_hand) < 1e-12

    # The union is negative, and the score below 0. That is right for the formula, and shows what it
    # asks of its input. From 0 to 1, x·y is at most the smaller of x and y: an intersection is at
    # most half of the total, the union at least as large as the intersection, and the score between
    # 0 and 1. Beyond 1 a product grows faster than a sum, as here from 2 · 6 on, and nothing bounds
    # the score any more. So bring values to 0 to 1 first: by a sigmoid or softmax of logits, a
    # division by the largest value, or a threshold.
    scaled = fastiou.soft_iou(inputs / 20, targets / 20, smooth=SMOOTH)
    print(f"divided by 20 {scaled:.6f}")
    masks = fastiou.soft_iou(inputs > 4, targets > 4, smooth=SMOOTH)
    print(f"above 4       {masks:.6f}")


if __name__ == "__main__":
    main()
