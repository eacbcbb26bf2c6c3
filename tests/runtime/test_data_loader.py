"""Workers of PyTorch's DataLoader, which are forked or spawned beside its own threads."""

from __future__ import annotations

from pathlib import Path

import pytest
from processes_for_tests import PRELUDE, Python
from test_threads import LAYERS

CALLER = (
    PRELUDE
    + """
import torch
from torch.utils.data import DataLoader, Dataset

class Boxes(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, i):
        check()
        some = torch.from_numpy(boxes[: 40 + i])
        kept = fastiou.nms(some, torch.arange(len(some)).float(), threshold=0.3)
        return fastiou.box_iou(some, some)[:40, :40], len(kept)

if __name__ == "__main__":
    # 3.12 warns of forks beside threads, and PyTorch has some of its own.
    warnings.simplefilter("ignore", DeprecationWarning)
    alone = [Boxes()[i] for i in range(len(Boxes()))]
    torch.rand(2000, 2000) @ torch.rand(2000, 2000)
    for _ in range(2):
        loader = DataLoader(
            Boxes(), batch_size=3, num_workers=2, multiprocessing_context=METHOD, timeout=200
        )
        found = list(loader)
        assert torch.equal(torch.cat([scores for scores, _ in found]),
                           torch.stack([scores for scores, _ in alone]))
        assert torch.cat([kept for _, kept in found]).tolist() == [kept for _, kept in alone]
        check()
"""
)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
@LAYERS
def test_workers_of_a_torch_data_loader(
    python: Python, tmp_path: Path, layer: str, method: str
) -> None:
    pytest.importorskip("torch", exc_type=ImportError)
    (tmp_path / "caller.py").write_text(CALLER.replace("METHOD", repr(method)))
    python(
        "import runpy\nrunpy.run_path('caller.py', run_name='__main__')\n",
        prelude="",
        NUMBA_THREADING_LAYER=layer,
    )
