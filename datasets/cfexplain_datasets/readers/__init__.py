"""The built-in readers, one file each: `read(path)` returns a `LesionTable` or raises a `DataError`."""
