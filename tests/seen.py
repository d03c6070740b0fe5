"""What a reader sees on a page that AppTest has run."""

from __future__ import annotations

import pandas as pd
from streamlit.testing.v1 import AppTest


def words(app: AppTest) -> str:
    """All that is said in captions, text and boxes, as it is read: without the signs that keep Markdown out."""
    kinds = ("caption", "markdown", "error", "warning", "info")
    return "\n".join(str(each.value) for kind in kinds for each in app.get(kind)).replace("\\", "")


def table_with(app: AppTest, *columns: str) -> pd.DataFrame:
    """The one table that has these columns, among others."""
    [found] = [each.value for each in app.dataframe if set(columns) <= set(each.value.columns)]
    return found
