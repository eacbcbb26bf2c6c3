"""HOTA, CLEAR and Identity in plain NumPy, as their papers and TrackEval define them; and scenes.

Everything here is dense and goes frame by frame. Nothing is shared with the package.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

EPS = np.finfo(np.float64).eps
ALPHAS = np.arange(0.05, 0.99, 0.05)
DISTRACTORS = {"mot17": [2, 7, 8, 12], "mot20": [2, 6, 7, 8, 12]}


def overlaps(boxes1, boxes2):
    """IoU of boxes as x, y, w, h."""
    corners1, corners2 = (
        np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]) for boxes in (boxes1, boxes2)
    )
    low = np.maximum(corners1[:, None], corners2[None])
    high = np.minimum(corners1[:, None], corners2[None])
    intersection = np.maximum(high[..., 2] - low[..., 0], 0) * np.maximum(
        high[..., 3] - low[..., 1], 0
    )
    area1, area2 = (
        (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        for corners in (corners1, corners2)
    )
    union = area1[:, None] + area2[None] - intersection
    intersection[area1 <= EPS] = 0
    intersection[:, area2 <= EPS] = 0
    intersection[union <= EPS] = 0
    union[union <= EPS] = 1
    return intersection / union


def frames_of(gt, tracks, benchmark=None):
    """For each frame: ids of the truth, ids of the tracks, and the similarity of the two."""
    gt, tracks = (
        np.asarray(rows, np.float64).reshape(-1, np.shape(rows)[1] if len(rows) else 6)
        for rows in (gt, tracks)
    )
    result = []
    for frame in np.unique(np.concatenate([gt[:, 0], tracks[:, 0]])):
        truth, found = gt[gt[:, 0] == frame], tracks[tracks[:, 0] == frame]
        similarity = overlaps(truth[:, 2:6], found[:, 2:6])
        kept = truth[:, 6] != 0 if gt.shape[1] > 6 else np.ones(len(truth), bool)
        if benchmark is not None:
            scores = np.where(similarity < 0.5 - EPS, 0, similarity)
            rows, cols = linear_sum_assignment(-scores)
            real = scores[rows, cols] > EPS
            on_distractor = np.isin(truth[rows, 7], DISTRACTORS[benchmark]) & real
            found = np.delete(found, cols[on_distractor], axis=0)
            similarity = np.delete(similarity, cols[on_distractor], axis=1)
            kept = kept & (truth[:, 7] == 1)
        ids = truth[kept, 1].astype(int), found[:, 1].astype(int)
        result.append((*ids, np.ascontiguousarray(similarity[kept])))
    return result


def numbered(frames):
    """The same with ids from 0 on, and how many boxes each id has."""
    sizes = []
    columns = []
    for side in (0, 1):
        every = np.concatenate([frame[side] for frame in frames] or [np.empty(0, int)])
        known, counts = np.unique(every, return_counts=True)
        sizes.append(counts)
        columns.append([np.searchsorted(known, frame[side]) for frame in frames])
    return list(zip(*columns, [frame[2] for frame in frames], strict=True)), *sizes


def hota(frames):
    """The arrays of HOTA, before its final fields."""
    frames, sizes1, sizes2 = numbered(frames)
    zeros = np.zeros(19)
    result = {
        name: zeros.copy()
        for name in ("HOTA_TP", "HOTA_FN", "HOTA_FP", "AssA", "AssRe", "AssPr", "LocA")
    }
    if not sizes1.sum() or not sizes2.sum():
        result["HOTA_FN"] += sizes1.sum()
        result["HOTA_FP"] += sizes2.sum()
        result["LocA"] += 1
        return result
    potential = np.zeros((len(sizes1), len(sizes2)))
    for ids1, ids2, similarity in frames:
        union = similarity.sum(0)[None] + similarity.sum(1)[:, None] - similarity
        common = np.zeros_like(similarity)
        common[union > EPS] = similarity[union > EPS] / union[union > EPS]
        potential[ids1[:, None], ids2[None]] += common
    alignment = potential / (sizes1[:, None] + sizes2[None] - potential)
    matches = np.zeros((19, len(sizes1), len(sizes2)))
    for ids1, ids2, similarity in frames:
        rows, cols = linear_sum_assignment(-(alignment[ids1[:, None], ids2[None]] * similarity))
        for a, alpha in enumerate(ALPHAS):
            enough = similarity[rows, cols] >= alpha - EPS
            matches[a, ids1[rows[enough]], ids2[cols[enough]]] += 1
            result["LocA"][a] += similarity[rows, cols][enough].sum()
    hits = matches.sum((1, 2))
    result["HOTA_TP"], result["HOTA_FN"] = hits, sizes1.sum() - hits
    result["HOTA_FP"] = sizes2.sum() - hits
    for name, sizes in (
        ("AssA", sizes1[:, None] + sizes2[None] - matches),
        ("AssRe", sizes1[:, None] + np.zeros_like(matches)),
        ("AssPr", sizes2[None] + np.zeros_like(matches)),
    ):
        result[name] = (matches * matches / np.maximum(1, sizes)).sum((1, 2)) / np.maximum(1, hits)
    result["LocA"] = np.maximum(1e-10, result["LocA"]) / np.maximum(1e-10, hits)
    return result


def hota_fields(arrays):
    arrays = dict(arrays)
    hits, missed, spurious = (arrays[f"HOTA_{what}"] for what in ("TP", "FN", "FP"))
    arrays["DetRe"] = hits / np.maximum(1, hits + missed)
    arrays["DetPr"] = hits / np.maximum(1, hits + spurious)
    arrays["DetA"] = hits / np.maximum(1, hits + missed + spurious)
    arrays["HOTA"] = np.sqrt(arrays["DetA"] * arrays["AssA"])
    arrays["OWTA"] = np.sqrt(arrays["DetRe"] * arrays["AssA"])
    first = {f"{name}(0)": arrays[name][0] for name in ("HOTA", "LocA")}
    return arrays, {
        **{name: values.mean() for name, values in arrays.items()},
        **first,
        "HOTALocA(0)": first["HOTA(0)"] * first["LocA(0)"],
    }


CLEAR_COUNTS = ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW", "MT", "PT", "ML", "Frag", "CLR_Frames")


def clear(frames, frame_count):
    """The counts of CLEAR, and MOTP_sum."""
    frames, sizes1, sizes2 = numbered(frames)
    result = dict.fromkeys(CLEAR_COUNTS, 0) | {"MOTP_sum": 0.0}
    if not sizes1.sum() or not sizes2.sum():
        result |= {"CLR_FN": sizes1.sum(), "CLR_FP": sizes2.sum(), "ML": len(sizes1)}
        return result
    result["CLR_Frames"] = frame_count
    ever, before = np.full(len(sizes1), -1), np.full(len(sizes1), -1)
    matched, begun = np.zeros(len(sizes1)), np.zeros(len(sizes1))
    for ids1, ids2, similarity in frames:
        rows = cols = np.empty(0, int)
        if len(ids1) and len(ids2):
            scores = 1000 * (before[ids1][:, None] == ids2[None]) + similarity
            scores[similarity < 0.5 - EPS] = 0
            rows, cols = linear_sum_assignment(-scores)
            real = scores[rows, cols] > EPS
            rows, cols = rows[real], cols[real]
            own, other = ids1[rows], ids2[cols]
            result["IDSW"] += int(((ever[own] >= 0) & (ever[own] != other)).sum())
            begun[own] += before[own] < 0
            matched[own] += 1
            ever[own] = other
            before[:] = -1
            before[own] = other
        result["CLR_TP"] += len(rows)
        result["CLR_FN"] += len(ids1) - len(rows)
        result["CLR_FP"] += len(ids2) - len(rows)
        result["MOTP_sum"] += similarity[rows, cols].sum()
    share = matched / sizes1
    result["MT"] = int((share > 0.8).sum())
    result["PT"] = int((share >= 0.2).sum()) - result["MT"]
    result["ML"] = len(sizes1) - result["MT"] - result["PT"]
    result["Frag"] = int((begun[begun > 0] - 1).sum())
    return result


def clear_fields(counts):
    hits, missed, spurious, switches = (
        float(counts[name]) for name in ("CLR_TP", "CLR_FN", "CLR_FP", "IDSW")
    )
    truth = max(1.0, hits + missed)
    ids = max(1.0, counts["MT"] + counts["PT"] + counts["ML"])
    return dict(counts) | {
        "MTR": counts["MT"] / ids,
        "PTR": counts["PT"] / ids,
        "MLR": counts["ML"] / ids,
        "CLR_Re": hits / truth,
        "CLR_Pr": hits / max(1.0, hits + spurious),
        "MODA": (hits - spurious) / truth,
        "MOTA": (hits - spurious - switches) / truth,
        "MOTP": counts["MOTP_sum"] / max(1.0, hits),
        "sMOTA": (counts["MOTP_sum"] - spurious - switches) / truth,
        "CLR_F1": hits / max(1.0, hits + 0.5 * missed + 0.5 * spurious),
        "FP_per_frame": spurious / max(1.0, counts["CLR_Frames"]),
        "MOTAL": (hits - spurious - (np.log10(switches) if switches else 0)) / truth,
    }


def identity(frames):
    """The counts of Identity, from the assignment with a stand-in for each id."""
    frames, sizes1, sizes2 = numbered(frames)
    count1, count2 = len(sizes1), len(sizes2)
    shared = np.zeros((count1, count2))
    for ids1, ids2, similarity in frames:
        rows, cols = np.nonzero(similarity >= 0.5)
        shared[ids1[rows], ids2[cols]] += 1
    missed, spurious = np.zeros((2, count1 + count2, count1 + count2))
    spurious[count1:, :count2] = 1e10
    missed[:count1, count2:] = 1e10
    for own, size in enumerate(sizes1):
        missed[own, :count2] = missed[own, count2 + own] = size
    for own, size in enumerate(sizes2):
        spurious[:count1, own] = spurious[count1 + own, own] = size
    missed[:count1, :count2] -= shared
    spurious[:count1, :count2] -= shared
    chosen = linear_sum_assignment(missed + spurious)
    lost = int(missed[chosen].sum())
    return {
        "IDTP": int(sizes1.sum()) - lost,
        "IDFN": lost,
        "IDFP": int(spurious[chosen].sum()),
    }


def identity_fields(counts):
    hits, missed, spurious = (counts[name] for name in ("IDTP", "IDFN", "IDFP"))
    return dict(counts) | {
        "IDR": hits / max(1.0, hits + missed),
        "IDP": hits / max(1.0, hits + spurious),
        "IDF1": hits / max(1.0, hits + 0.5 * missed + 0.5 * spurious),
    }


def sizes_of(frames, frame_count):
    _, sizes1, sizes2 = numbered(frames)
    return {
        "Dets": int(sizes2.sum()),
        "GT_Dets": int(sizes1.sum()),
        "IDs": len(sizes2),
        "GT_IDs": len(sizes1),
        "Frames": frame_count,
    }


def scores(gt, tracks, benchmark=None, frame_count=None):
    """All scores of a sequence, and the arrays of HOTA."""
    if frame_count is None:
        every = [int(row[0]) for row in (*gt, *tracks)]
        frame_count = max(every, default=0) + (min(every, default=1) == 0)
    frames = frames_of(gt, tracks, benchmark)
    counts = sizes_of(frames, frame_count)
    arrays, by_hota = hota_fields(hota(frames))
    by_clear = clear_fields(clear(frames, frame_count))
    if not counts["Dets"] or not counts["GT_Dets"]:
        kept = ("CLR_FN", "CLR_FP", "ML")
        by_clear = {name: value if name in kept else 0 for name, value in by_clear.items()}
        by_clear["MLR"] = 1.0
    return by_hota | by_clear | identity_fields(identity(frames)) | counts, arrays


def combined_scores(parts):
    """All scores of several sequences together: (gt, tracks) of each."""
    lists = [frames_of(gt, tracks) for gt, tracks in parts]
    counts = [max([int(row[0]) for row in (*gt, *tracks)], default=0) for gt, tracks in parts]
    hotas = [hota(frames) for frames in lists]
    total = {name: sum(each[name] for each in hotas) for name in ("HOTA_TP", "HOTA_FN", "HOTA_FP")}
    for name in ("AssA", "AssRe", "AssPr", "LocA"):
        weighted = sum(each[name] * each["HOTA_TP"] for each in hotas)
        least = 1e-10 if name == "LocA" else 1.0
        weighted = np.maximum(1e-10, weighted) if name == "LocA" else weighted
        total[name] = weighted / np.maximum(least, total["HOTA_TP"])
    arrays, by_hota = hota_fields(total)

    def added(each):
        return {name: sum(one[name] for one in each) for name in each[0]}

    by_clear = [clear(*both) for both in zip(lists, counts, strict=True)]
    sizes = [sizes_of(*both) for both in zip(lists, counts, strict=True)]
    return (
        by_hota
        | clear_fields(added(by_clear))
        | identity_fields(added([identity(frames) for frames in lists]))
        | added(sizes)
    ), arrays


def random_scene(rng, *, ids=4, frames=6, size=30.0, whole=False, classes=False):
    """Truth that wanders, tracks near it, and others: rows as MOTChallenge has them."""
    gt, tracks = [], []
    names = rng.permutation(100)[: 2 * ids]
    places = rng.uniform(0, size, (ids, 2))
    for frame in range(1, frames + 1):
        places = places + rng.normal(0, 1.5, places.shape)
        for own in range(ids):
            box = [*places[own], *rng.uniform(6, 14, 2)]
            if whole:
                box = [round(number / 3) * 3 for number in box]
            if rng.random() < 0.8:
                class_ = rng.choice([1, 1, 1, 2, 6, 7, 8, 12, 3]) if classes else 1
                gt.append([frame, names[own], *box, rng.random() < 0.9, class_, 1])
            if rng.random() < 0.8:
                noise = rng.choice([0, 0.5, 3.0])
                near = np.array(box) + rng.normal(0, noise, 4)
                near = np.round(near / 3) * 3 if whole else near
                other = own if rng.random() < 0.8 else rng.integers(ids)
                tracks.append([frame, names[other] + 1000, *near[:2], *np.maximum(near[2:], 1)])
        if rng.random() < 0.3:
            tracks.append([frame, names[ids], *rng.uniform(0, size, 2), 10, 10])

    def once(rows):
        seen = {}
        for row in rows:
            seen.setdefault((row[0], row[1]), row)
        return [seen[key] for key in sorted(seen, key=lambda _: rng.random())]

    return once(gt), once(tracks)
