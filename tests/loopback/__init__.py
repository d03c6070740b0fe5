"""Servers on 127.0.0.1 that speak the protocols of vendors; `base.py` says how one more is added."""
