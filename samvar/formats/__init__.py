"""Files read and written: no science."""
