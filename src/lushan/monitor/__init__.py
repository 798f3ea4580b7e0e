"""Monitoring: labels of a stream of texts counted in windows, and alarms on a rise of one of them.

The parts, in the order in which a text passes through them: `sources` (lines with a position that
a state can keep), `records` (times and texts), `classifier` (labels), `store` (counts, all in one
transaction with the position), `cusum` (when a count is an alarm), `alarms` (who hears of it),
`page` (what people see), `replay` (how well it would have worked). `service` joins them.
"""
