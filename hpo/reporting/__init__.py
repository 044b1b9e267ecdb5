"""Reports, their pictures, the dashboard's notes, and exported files."""
