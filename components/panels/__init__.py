"""Streamlit panels that several pages share."""
