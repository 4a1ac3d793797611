"""What happens, one verb per function, through ports only."""
