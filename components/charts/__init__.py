"""Frames in, plotly figures out; nothing here knows Streamlit or changes what it is given."""
