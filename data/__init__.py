"""Data floor: sources → bars → checked, versioned datasets. The door is `data.pipeline_controller`."""
