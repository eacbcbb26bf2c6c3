"""The oracle of scores that take rotated boxes for Gaussians, beside `reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fastiou import reference

__all__ = ["probiou"]

Array = npt.NDArray[Any]

centres_and_axes = reference._centres_and_axes


def probiou(boxes1: npt.ArrayLike, boxes2: npt.ArrayLike, fmt: str = "cxcywhr") -> Array:
    """Dense scores of rotated boxes as `fastiou.box_iou` must give them by the metric "probiou".

    As in textbooks: with the covariances S1 and S2, S half of their sum and d the way between the
    centres, the Bhattacharyya distance is dᵀ S⁻¹ d / 8 + log(det S / √(det S1 det S2)) / 2.

    Parameters
    ----------
    boxes1, boxes2 : array_like, shapes (N, 5) and (M, 5)
        Boxes.
    fmt
        As in `fastiou.box_iou`.

    Returns
    -------
    array, shape (N, M)

    Examples
    --------
    >>> from fastiou import reference_gaussians
    >>> square = [0, 0, 2, 2, 0]
    >>> reference_gaussians.probiou([square], [square, [2, 0, 2, 2, 0]]).round(6)
    array([[0.999553, 0.118598]])
    """
    given = [np.asarray(boxes).reshape(-1, 5) for boxes in (boxes1, boxes2)]
    single = all(boxes.dtype.kind == "f" and boxes.dtype.itemsize <= 4 for boxes in given)
    centres, covariances = [], []
    proper: list[Array] = []
    for boxes in given:
        centre, sides, axes = centres_and_axes(boxes.astype(np.float64), fmt)
        cosine, sine = axes.T
        turn = np.stack([np.stack([cosine, -sine], -1), np.stack([sine, cosine], -1)], -2)
        variances = sides[:, None, :] ** 2 / 12
        centres.append(centre)
        covariances.append((turn * variances) @ np.swapaxes(turn, -1, -2))
        proper.append(np.asarray((sides > 0).all(axis=-1)))
    way = centres[1][None] - centres[0][:, None]
    mean = (covariances[0][:, None] + covariances[1][None]) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = np.linalg.det(mean)
        roots = [np.sqrt(np.linalg.det(of)) for of in covariances]
        adjoint = np.stack(
            [
                mean[..., 1, 1] * way[..., 0] - mean[..., 0, 1] * way[..., 1],
                mean[..., 0, 0] * way[..., 1] - mean[..., 1, 0] * way[..., 0],
            ],
            -1,
        )
        apart = (adjoint * way).sum(-1) / determinant / 8
        apart += np.log(determinant / (roots[0][:, None] * roots[1])) / 2
    result: Array = 1 - np.sqrt(1 - np.exp(-np.clip(apart, 1e-7, 100)) + 1e-7)
    result = np.asarray(np.where(proper[0][:, None] & proper[1], np.maximum(result, 0), 0))
    missing1, missing2 = (np.isnan(boxes).any(axis=-1) for boxes in given)
    result[missing1] = np.nan
    result[:, missing2] = np.nan
    return result.astype(np.float32 if single else np.float64)
