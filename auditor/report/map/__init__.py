"""The model map: layers by depth, with what was measured of each side by side."""
