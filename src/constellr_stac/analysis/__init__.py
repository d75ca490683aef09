"""Statistics of cubes. The accessor ``cube.constellr`` offers them as methods."""
