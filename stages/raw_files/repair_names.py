"""What may be done to read a record, by name; light, as stages declare their parameters with it."""

from typing import Literal

FileRepair = Literal["trailing_commas_removed", "comments_removed", "python_literal_read", "windows_1252_decoded"]
COMMAS_REMOVED: FileRepair = "trailing_commas_removed"
COMMENTS_REMOVED: FileRepair = "comments_removed"
PYTHON_READ: FileRepair = "python_literal_read"
WINDOWS_1252: FileRepair = "windows_1252_decoded"
