"""The commands behind `audit`, and what they share: options, tables, progress, printing."""
