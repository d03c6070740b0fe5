"""The field's vocabulary: bars, timeframes, symbols, trading days, resampling."""
