"""What tests send to other processes: those import it by name, so it cannot stand in a test file."""
