"""Whole documents made of a result, each in one file that needs nothing beside it; nothing here knows Streamlit."""
