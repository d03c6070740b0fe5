"""What pages are made of: figures (`charts/`), Streamlit panels (`panels/`), numbers as the reader sees them."""
