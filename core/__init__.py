"""Ground floor: settings, errors, storage and logging that every other folder stands on."""
