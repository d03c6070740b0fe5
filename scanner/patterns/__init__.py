"""The patterns, one module each: pure, compiled, and never early."""
