"""Ways in which a database becomes unusable, done to real files."""
