"""Sets in blocks: what one task of a cluster does, as functions of plain arrays.

They know no scheduler. `fastiou.dask` makes graphs of them; any other system can call them, too:

1. `parts.summary_of` looks at one block, and `parts.plan_of` at all summaries: where blocks begin,
   and which parts of the plane, or of the groups, there are.
2. `parts.split` cuts a block into these parts. A box goes to each part of the plane that it
   touches, so what lies far apart never meets.
3. `joins.pairs_of`, `best_of`, `kept_of` and `matched_of` do one part, by the public functions,
   with positions in the whole set.
4. `joins.by_rows` and `joins.gathered` take what was found back to the order of the whole.
5. `scoring.state_of` and `scoring.merged` evaluate some images, and add up what others did.

All of them are pure and deterministic: a task that is lost is done again, to the same bits. Each
computes on the thread that calls it.
"""
