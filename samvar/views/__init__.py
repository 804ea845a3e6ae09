"""What is found, as text, figures and pages."""
