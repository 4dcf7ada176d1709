"""Plots as SVG: from a figure's plain data to lines, bars, cells and boxes."""
