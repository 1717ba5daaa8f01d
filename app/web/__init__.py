"""HTTP towards clients: blueprints in the workers, and the same answers in the fills process."""
