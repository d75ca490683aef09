"""Areas in the forms that people have: GeoJSON, shapely, geopandas, WKT and files."""
