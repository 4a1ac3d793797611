"""What runs outside the functions: local mode and the SMTP front door."""
