"""Results that list pairs: their columns as NumPy arrays, sparse matrices and data frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastiou.arrays.inputs import plain_array
from fastiou.arrays.svg import SHOWN, captioned, html_table
from fastiou.runtime.distinct import counted
from fastiou.tables.frames import Framed
from fastiou.tables.opened import Source
from fastiou.tables.pictures import pairs_picture
from fastiou.typing import Array

if TYPE_CHECKING:
    import scipy.sparse

__all__ = ["Listing", "Positions"]

#: Pairs that a notebook lists.
LINES = 10


class Listing(Framed):
    """What lists pairs by `rows`, `cols` and `values`, which come first when it is unpacked."""

    #: The tables that the two sets were, if they were any.
    source: Source | None = None

    def to_numpy(self) -> tuple[Array, ...]:
        """What unpacking gives, as NumPy arrays, whatever library they are of.

        Returns
        -------
        tuple of arrays
            `rows` and `cols`, int64, and `values`; of a `Match` also what is unmatched.

        Examples
        --------
        >>> import fastiou
        >>> fastiou.pairs([[0, 0, 2, 2]], [[5, 5, 6, 6], [0, 0, 2, 2]]).to_numpy()
        (array([0]), array([1]), array([1.]))
        """
        parts: Any = iter(self)  # type: ignore[call-overload]
        return tuple(plain_array("result", part) for part in parts)

    def columns(self) -> dict[str, Array]:
        """The columns of a data frame by name: rows, cols, values; keys and ids of tables.

        Where the sets were tables, the keys that both have follow by their names, and what the
        members are called as id_a and id_b. It is what `fastiou match --out` writes. What is
        unmatched is in none.

        Returns
        -------
        dict of arrays
            Of NumPy, whatever library the result is of.

        Examples
        --------
        >>> import fastiou
        >>> boxes = [[0, 0, 2, 2], [0, 0, 2, 2]]
        >>> table = fastiou.BoxTable(boxes, keys={"image": ["a", "a"]}, ids=[7, 8])
        >>> {name: column.tolist() for name, column in fastiou.pairs(table).columns().items()}
        {'rows': [0], 'cols': [1], 'values': [1.0], 'image': ['a'], 'id_a': [7], 'id_b': [8]}
        """
        rows, cols, values = self.to_numpy()[:3]
        names = {} if self.source is None else self.source.names(rows, cols)
        return {"rows": rows, "cols": cols, "values": values, **names}

    def _first(self, count: int) -> tuple[Array, ...]:
        """Rows, columns and values of the first pairs, at least so many where there are so many."""
        three: Any = self
        parts = (three.rows, three.cols, three.values)
        return tuple(plain_array("result", part[:count]) for part in parts)

    def _repr_html_(self) -> str:
        rows, cols, values = self._first(SHOWN)
        names = {} if self.source is None else self.source.names(rows, cols)
        columns = {"rows": rows, "cols": cols, "values": values, **names}
        listed = html_table({name: column[:LINES].tolist() for name, column in columns.items()})
        picture = ""
        if self.source is not None and len(rows):
            tables = self.source.a, self.source.b
            if all(table is not None and table.boxes is not None for table in tables):
                alike = np.ones(len(rows), np.bool_)
                for values_of_key in self.source.keys.values():
                    own = values_of_key[rows]
                    alike &= own == own[0]
                picture = pairs_picture(*tables, rows, cols, alike)
        caption = repr(self).partition("\n")[0]
        return captioned(caption, picture, listed)


class Positions(Listing):
    """The same, of which rows and columns are positions in two sets of the sizes `shape`."""

    shape: tuple[int, int]

    def to_scipy(self) -> scipy.sparse.csr_array:
        """The pairs as a sparse matrix of their values.

        Returns
        -------
        scipy.sparse.csr_array, shape (N, M)

        Examples
        --------
        >>> import fastiou
        >>> found = fastiou.pairs([[0, 0, 2, 2]], [[5, 5, 6, 6], [0, 0, 2, 2]])
        >>> found.to_scipy().toarray()
        array([[0., 1.]])
        """
        import scipy.sparse

        rows, cols, values = self.to_numpy()[:3]
        # Where rows begin is told directly: from rows and columns SciPy would sort all pairs.
        starts = np.concatenate([[0], np.cumsum(counted(rows, self.shape[0]))])
        return scipy.sparse.csr_array((values, cols, starts), shape=self.shape, copy=True)
