"""Where bars come from: one contract (`base.BarSource`), one file a source."""
