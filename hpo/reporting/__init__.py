"""What a person looks at: report, pictures, dashboard, exported files."""
