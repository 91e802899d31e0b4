"""Temper: raw instruction data to a registered, instruction-tuned model. Folders are stages, files are machinery."""
