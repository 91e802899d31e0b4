"""What is measured of many rows at once: distributions, thresholds, how honestly a selector chooses."""
