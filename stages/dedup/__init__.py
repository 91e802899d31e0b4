"""Removes exact and near duplicates, each verified against a row that stays."""
